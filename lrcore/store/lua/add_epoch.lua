-- Record a finished epoch of a job, and renew its lease.
-- Returns {held | fenced | missing | gap, what is wanted of the job, or of a gap the index that is missing}.
--@include leases
--@include events
--@include epochs
local id, token, lease_ms, position, row, best = unpack(ARGV, 2, 7)
local standing = lease_standing(id, token)
if standing ~= 'held' then return {standing, ''} end
local is_new, missing = add_row(id, tonumber(position), row)
if missing then return {'gap', missing} end
if is_new then
  redis.call('HSET', job(id), 'metrics', row, 'best', best)
  publish(id, 'epoch', row)
end
return renew(id, lease_ms)
