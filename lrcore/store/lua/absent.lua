-- Forget a worker that has ended.
--@include keys
local worker = ARGV[2]
redis.call('ZREM', P .. 'workers', worker)
redis.call('HDEL', P .. 'claims', worker)
redis.call('HDEL', P .. 'vitals', worker)
for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
  redis.call('ZREM', P .. 'workers:' .. queue, worker)
end
