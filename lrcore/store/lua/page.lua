-- Return {order, view} of some jobs of an index, newest first: those before the cursor, which is an order or +inf.
--@include views
local index, cursor, count, tenant, whole = unpack(ARGV, 2, 6)
local found = {}
local ids = redis.call('ZRANGE', own(tenant, index), '(' .. cursor, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, count)
for i, id in ipairs(ids) do found[i] = {redis.call('HGET', job(id), 'order'), view(id, whole == '0')} end
return found
