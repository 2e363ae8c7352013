-- What a worker that holds a job may do with it.
--@include keys
--@include clock
--@include run_time
-- held, or why a writer does not hold the job: missing | fenced
local function lease_standing(id, token)
  local record = redis.call('HMGET', job(id), 'state', 'token')
  if not record[1] then return 'missing' end
  if record[1] ~= 'running' or record[2] ~= token then return 'fenced' end
  return 'held'
end
-- what is wanted of the job, or of the experiment that it is a shard of
local function requested(id)
  local record = redis.call('HMGET', job(id), 'want', 'parent')
  return record[1] or record[2] and redis.call('HGET', job(record[2]), 'want')
end
-- renew the lease; the answer to a report. The worker's last sign of life is for the error of a job that kills it.
local function renew(id, lease_ms, sign)
  if sign and sign ~= '' then redis.call('HSET', job(id), 'sign', sign) end
  redis.call('ZADD', P .. 'leases', now() + lease_ms, id)
  return {'held', requested(id) or is_overtime(id) and 'expire' or ''}
end
