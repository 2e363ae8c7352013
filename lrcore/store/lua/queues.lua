-- Return {queue, waiting jobs, living workers, messages on the broker} of each queue.
--@include queues
local message_prefix = ARGV[2]
local queues = redis.call('SMEMBERS', P .. 'queues')
table.sort(queues)
for i, queue in ipairs(queues) do
  local waiting = redis.call('ZCARD', P .. 'queue:' .. queue)
  for _, tenant in ipairs(redis.call('SMEMBERS', P .. 'tenants:' .. queue)) do
    waiting = waiting + redis.call('ZCARD', own(tenant, 'queue:' .. queue))
  end
  queues[i] = {queue, waiting, living_workers(queue), redis.call('LLEN', message_list(message_prefix, queue))}
end
return queues
