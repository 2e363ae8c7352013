-- Renew a lease, and record how far the job is and what its worker does, either of which may be ''.
-- Returns {held | fenced | missing, what is wanted of the job}.
--@include leases
--@include events
local id, token, lease_ms, sign, progress = unpack(ARGV, 2, 6)
local standing = lease_standing(id, token)
if standing ~= 'held' then return {standing, ''} end
publish_progress(id, progress)
return renew(id, lease_ms, sign)
