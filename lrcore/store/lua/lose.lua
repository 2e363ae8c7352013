-- Give a job up whose worker has stalled, as reap.lua does for a lease that ran out.
-- Returns {held | fenced | missing, ''}.
--@include losses
local id, token, max_losses = unpack(ARGV, 2, 4)
local standing = lease_standing(id, token)
if standing == 'held' then lose(id, tonumber(max_losses), 'stalled') end
return {standing, ''}
