-- What a worker that holds a job may do with it.
--@include moves
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
-- a running job that is not trained any more goes where it is wanted
local function release(id, error)
  local wanted = requested(id)
  if wanted == 'cancel' then return move(id, 'cancelled') end
  if wanted == 'pause' then return move(id, 'paused') end
  if is_overtime(id) then return fail(id, 'timeout', 'it has run longer than its max_seconds') end
  return move(id, 'queued', error)
end
-- a running job whose worker is gone: its lease ran out, its process has died, or it has stalled. So many `max_kills`,
-- deaths that the job may have caused, fail it; `how` says how the process ended. One that was draining did not die of
-- the job: it was killed because it took too long to end.
local function lose(id, max_losses, why, max_kills, how)
  if redis.call('HGET', job(id), 'state') ~= 'running' then
    redis.call('ZREM', P .. 'leases', id)
    return
  end
  local losses, parent = redis.call('HINCRBY', job(id), 'losses', 1), redis.call('HGET', job(id), 'parent')
  if parent then redis.call('HINCRBY', job(parent), 'losses', 1) end
  count_event('lost:' .. why)
  local sign = redis.call('HGET', job(id), 'sign')
  if max_kills and sign ~= 'draining' then
    local kills = redis.call('HINCRBY', job(id), 'kills', 1)
    if kills >= max_kills and not requested(id) then
      return fail(id, 'worker_killed', 'its worker died ' .. kills .. (kills == 1 and ' time' or ' times') ..
        ' while it ran this job, the last time ' .. how .. (sign and '; last sign of life: ' .. sign or ''))
    end
  end
  if losses > max_losses and not requested(id) then
    return fail(id, 'worker_lost', losses .. ' workers were lost while they ran this job')
  end
  release(id)
end
