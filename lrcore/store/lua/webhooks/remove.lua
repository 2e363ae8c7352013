-- Forget an endpoint with its deliveries. Returns 1, or 0 if there is no such endpoint.
--@include deliveries
local endpoint = ARGV[2]
if redis.call('ZREM', P .. 'webhooks', endpoint) == 0 then return 0 end
for _, id in ipairs(redis.call('ZRANGE', log(endpoint), 0, -1)) do
  local subject = redis.call('HGET', delivery(id), 'job')
  if subject then redis.call('DEL', lane(endpoint, subject)) end
  redis.call('DEL', delivery(id), attempts(id))
end
redis.call('DEL', webhook(endpoint), log(endpoint), over(endpoint), due(endpoint), sending(endpoint))
return 1
