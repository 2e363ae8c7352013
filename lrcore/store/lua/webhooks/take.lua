-- Take deliveries that are due, under a lease. One whose lease ran out, since its process is gone, is due again.
-- After the bounds come the taker's tenants, each with how many of its deliveries the taker has.
-- Returns {the time, {the delivery's record, its endpoint's} of each}.
--@include deliveries
local max_taken, max_of_endpoint, lease_ms, first, max_of_tenant, max_ended, ended_ms = unpack(ARGV, 2, 8)
local counts = arguments_from(9)
local endpoints, taken, held = redis.call('ZRANGE', P .. 'webhooks', 0, -1), {}, {}
for i = 1, #counts, 2 do held[counts[i]] = tonumber(counts[i + 1]) end
for i = 1, #endpoints do
  local endpoint = endpoints[(i + first) % #endpoints + 1]
  prune(endpoint, max_ended, ended_ms)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', sending(endpoint), '-inf', now())) do
    redis.call('ZREM', sending(endpoint), id)
    redis.call('ZADD', due(endpoint), now(), id)
  end
  local tenant = redis.call('HGET', webhook(endpoint), 'tenant') or 'default'
  held[tenant] = held[tenant] or 0
  local room = math.min(
    max_taken - #taken, max_of_endpoint - redis.call('ZCARD', sending(endpoint)), max_of_tenant - held[tenant])
  if room > 0 and is_enabled(endpoint) then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', due(endpoint), '-inf', now(), 'LIMIT', 0, room)) do
      redis.call('ZREM', due(endpoint), id)
      redis.call('ZADD', sending(endpoint), now() + lease_ms, id)
      redis.call('HINCRBY', delivery(id), 'claims', 1)
      table.insert(taken, {redis.call('HGETALL', delivery(id)), redis.call('HGETALL', webhook(endpoint))})
      held[tenant] = held[tenant] + 1
    end
  end
end
return {now(), taken}
