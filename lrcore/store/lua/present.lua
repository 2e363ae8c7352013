-- Record that a worker lives, its statistics, which may be '', and which queues it serves.
--@include clock
--@include plugin_queues
local worker, time_to_live_ms, stats, plugins = unpack(ARGV, 2, 5)
local queues = arguments_from(6)
redis.call('ZADD', P .. 'workers', now() + time_to_live_ms, worker)
if stats ~= '' then redis.call('HSET', P .. 'vitals', worker, stats) end
for _, queue in ipairs(served_queues(queues, plugins)) do
  redis.call('ZADD', P .. 'workers:' .. queue, now() + time_to_live_ms, worker)
  redis.call('SADD', P .. 'queues', queue)
end
