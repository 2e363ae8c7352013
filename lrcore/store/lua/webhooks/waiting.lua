-- Return {how many deliveries wait, ms since the first of them was due, or 0 if none is}.
--@include deliveries
local waiting, late = redis.call('XLEN', P .. 'outbox'), 0
for _, endpoint in ipairs(redis.call('ZRANGE', P .. 'webhooks', 0, -1)) do
  waiting = waiting + count_pending(endpoint)
  local first = redis.call('ZRANGE', due(endpoint), 0, 0, 'WITHSCORES')
  if first[2] and is_enabled(endpoint) then late = math.max(late, now() - first[2]) end
end
return {waiting, late}
