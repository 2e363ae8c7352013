-- Count what a tenant's jobs use.
--@include limits
local function count_running(id, running)
  local tenant = owner(id)
  if running then
    redis.call('SADD', own(tenant, 'busy'), id)
  elseif redis.call('SREM', own(tenant, 'busy'), id) == 1 then
    redis.call('INCRBY', spent_key(tenant), ms_of_today(redis.call('HGET', job(id), 'claimed_at') or now()))
    redis.call('EXPIRE', spent_key(tenant), 259200)
  end
end
-- the bytes of a job's files: `what` is `stored`, which it leaves behind, or `checkpoint`, which it needs until it ends
local function count_bytes(id, what, bytes)
  local before = tonumber(redis.call('HGET', job(id), what) or 0)
  if before == bytes then return end
  redis.call('HSET', job(id), what, bytes)
  redis.call('INCRBY', own(owner(id), 'stored'), bytes - before)
end
