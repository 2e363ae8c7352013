-- Set fields of an endpoint. Returns 1, or 0 if there is no such endpoint.
--@include deliveries
local id = ARGV[2]
local fields = arguments_from(3)
if redis.call('EXISTS', webhook(id)) == 0 then return 0 end
redis.call('HSET', webhook(id), unpack(fields))
return 1
