-- Prune runs of a shard's experiment, whoever has them. A judgement has four values: key, go | stop, first run, how
-- many runs; the one that was given first counts.
-- Returns {held | fenced | missing, the verdicts that count}.
--@include leases
--@include states
--@include experiments
local id, token = unpack(ARGV, 2, 3)
local judgements = arguments_from(4)
local standing = lease_standing(id, token)
if standing ~= 'held' then return {standing, ''} end
local parent, verdicts = redis.call('HGET', job(id), 'parent'), {}
local function prune(first, count)
  for run = first, first + count - 1 do
    if not run_ended(redis.call('HGET', runs(parent, 'states'), run)) then set_run_state(parent, run, 'pruned') end
  end
end
for i = 1, #judgements, 4 do
  local key, wanted, first, count = unpack(judgements, i, i + 3)
  redis.call('HSETNX', runs(parent, 'verdicts'), key, wanted)
  local verdict = redis.call('HGET', runs(parent, 'verdicts'), key)
  table.insert(verdicts, verdict)
  if verdict == 'stop' then prune(first, count) end
end
return {'held', table.concat(verdicts, ' ')}
