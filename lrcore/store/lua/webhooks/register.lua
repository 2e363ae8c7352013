-- Add an endpoint. Returns 1, or 0 if there are as many as there may be.
--@include deliveries
local id, tenant, max_of_tenant, max_of_all = unpack(ARGV, 2, 5)
local fields = arguments_from(6)
if redis.call('EXISTS', webhook(id)) == 1 then return 1 end  -- by this very call, whose answer was lost
local all, of_tenant = redis.call('ZRANGE', P .. 'webhooks', 0, -1), 0
for _, endpoint in ipairs(all) do
  if redis.call('HGET', webhook(endpoint), 'tenant') == tenant then of_tenant = of_tenant + 1 end
end
if of_tenant >= tonumber(max_of_tenant) or #all >= tonumber(max_of_all) then return 0 end
redis.call('ZADD', P .. 'webhooks', 0, id)
redis.call('HSET', webhook(id), 'id', id, 'tenant', tenant, 'created_at', now(), unpack(fields))
return 1
