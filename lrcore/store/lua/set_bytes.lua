-- Record how many bytes of files a job leaves behind, `stored`, or needs until it ends, `checkpoint`.
-- Returns {held | fenced | missing, ''}.
--@include leases
--@include usage
local id, token, what, bytes = unpack(ARGV, 2, 5)
local standing = lease_standing(id, token)
if standing == 'held' then count_bytes(id, what, tonumber(bytes)) end
return {standing, ''}
