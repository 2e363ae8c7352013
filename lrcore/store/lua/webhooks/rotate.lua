-- Give an endpoint a new secret; for a while the old one signs beside it. Returns 1, or 0 if there is no such endpoint.
--@include deliveries
local id, secret, overlap_ms = unpack(ARGV, 2, 4)
local old = redis.call('HGET', webhook(id), 'secret')
if not old then return 0 end
if old == secret then return 1 end  -- by this very call, whose answer was lost
redis.call('HSET', webhook(id), 'secret', secret, 'old_secret', old, 'old_until', now() + overlap_ms)
return 1
