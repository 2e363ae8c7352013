-- Make a delivery due now, also one that has ended. Returns missing | disabled | its id.
--@include deliveries
local endpoint, id = unpack(ARGV, 2, 3)
local state = redis.call('HGET', delivery(id), 'state')
if redis.call('HGET', delivery(id), 'webhook') ~= endpoint then return 'missing' end
if not is_enabled(endpoint) then return 'disabled' end
if state ~= 'pending' then
  redis.call('HSET', delivery(id), 'state', 'pending', 'failures', 0)
  redis.call('ZREM', over(endpoint), id)
  redis.call('ZADD', due(endpoint), now(), id)
elseif redis.call('ZSCORE', due(endpoint), id) then
  redis.call('ZADD', due(endpoint), now(), id)
end
return id
