-- Record an attempt, as JSON, and what follows from it: delivered | failed | gone | retry, the last after a delay.
-- Of a delivery, which can be asked for again and again, the last `max_attempts` are kept.
-- Returns 1, or 0 if the lease has run out.
--@include deliveries
local id, claim, attempt, outcome, delay_ms, max_attempts = unpack(ARGV, 2, 7)
local endpoint, claims = unpack(redis.call('HMGET', delivery(id), 'webhook', 'claims'))
if claims ~= claim or redis.call('ZREM', sending(endpoint), id) == 0 then return 0 end
redis.call('RPUSH', attempts(id), attempt)
redis.call('LTRIM', attempts(id), -max_attempts, -1)
count_event('webhooks:' .. outcome)
if outcome == 'retry' then
  redis.call('HINCRBY', delivery(id), 'failures', 1)
  redis.call('ZADD', due(endpoint), now() + delay_ms, id)
else
  end_delivery(endpoint, id, outcome == 'delivered' and 'delivered' or 'failed')
end
if outcome == 'gone' then
  redis.call('HSET', webhook(endpoint), 'enabled', '0', 'disabled_reason', 'it answered 410 Gone')
end
release_next(endpoint, id)
return 1
