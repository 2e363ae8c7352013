-- Put running jobs whose lease ran out back into their queue, or end them; forget dead workers and unused queues.
-- Returns the ids of these jobs, at most 100.
--@include losses
local max_losses, message_prefix = unpack(ARGV, 2, 3)
local ids = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now(), 'LIMIT', 0, 100)
for _, id in ipairs(ids) do lose(id, tonumber(max_losses), 'lease') end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', now())) do
  redis.call('ZREM', P .. 'workers', worker)
  redis.call('HDEL', P .. 'claims', worker)
  redis.call('HDEL', P .. 'vitals', worker)
end
for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
  redis.call('ZREMRANGEBYSCORE', P .. 'workers:' .. queue, '-inf', now())
  if redis.call('EXISTS', P .. 'workers:' .. queue, P .. 'queue:' .. queue, P .. 'tenants:' .. queue) == 0 then
    redis.call('SREM', P .. 'queues', queue)
    redis.call('DEL', message_list(message_prefix, queue), P .. 'waiting:' .. queue)
  end
end
return ids
