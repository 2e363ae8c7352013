-- Return {run, state, its row of an epoch or false} of each run of an experiment that has begun.
--@include keys
local id, epoch = unpack(ARGV, 2, 3)
local found = {}
for run = 0, (redis.call('HGET', job(id), 'next') or 0) - 1 do
  found[run + 1] = {run, redis.call('HGET', runs(id, 'states'), run),
    redis.call('LINDEX', P .. 'epochs:' .. id .. '/' .. run, epoch)}
end
return found
