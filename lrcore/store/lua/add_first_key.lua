-- Add a key if the store has none, not even a revoked one. Returns whether it is there, also when repeated.
--@include keys
local id, created_at = unpack(ARGV, 2, 3)
local fields = arguments_from(4)
if redis.call('ZCARD', P .. 'keys') == 0 then
  redis.call('ZADD', P .. 'keys', created_at, id)
  redis.call('HSET', P .. 'key:' .. id, unpack(fields))
end
return redis.call('EXISTS', P .. 'key:' .. id)
