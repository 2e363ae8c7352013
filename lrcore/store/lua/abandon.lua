-- Give up the jobs that an earlier process of a worker held. `max_kills` is '' if the process did not die of the job.
-- Returns their ids.
--@include losses
local worker, max_losses, max_kills, how = unpack(ARGV, 2, 5)
local left = {}
for _, id in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do
  if redis.call('HGET', job(id), 'worker') == worker then
    lose(id, tonumber(max_losses), 'restart', tonumber(max_kills), how)
    table.insert(left, id)
  end
end
return left
