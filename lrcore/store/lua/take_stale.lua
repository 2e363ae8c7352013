-- Return {id, when it ended} of the job that ended longest ago, if that is more than an age ago, or nothing. Until the
-- lease has run out it counts as younger for all others.
--@include keys
--@include clock
local age_ms, lease_ms = unpack(ARGV, 2, 3)
local id = redis.call('ZRANGEBYSCORE', P .. 'finished', '-inf', now() - age_ms, 'LIMIT', 0, 1)[1]
if not id then return false end
redis.call('ZADD', P .. 'finished', now() - age_ms + lease_ms, id)
return {id, redis.call('HGET', job(id), 'finished_at')}
