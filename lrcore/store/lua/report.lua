-- Record epochs and ends of a shard's runs, in order, and renew its lease. What a run has come to stays, whatever a
-- worker reports that trains it once more.
-- Each report has five values: 'epoch', run, index, row, best; or 'end', run, state, error or '', how it was trained or
-- ''.
-- Returns {held | fenced | missing | gap, what is wanted of the shard, or of a gap run and index}.
--@include leases
--@include states
--@include experiments
--@include epochs
local id, token, lease_ms, sign, step = unpack(ARGV, 2, 6)
local reports = arguments_from(7)
local standing = lease_standing(id, token)
if standing ~= 'held' then return {standing, ''} end
local parent = redis.call('HGET', job(id), 'parent')
local function record_end(run, state, error, training)
  if training ~= '' then redis.call('HSET', runs(parent, 'training'), run, training) end
  set_run_state(parent, run, state, error ~= '' and error or nil)
end
local function record_epoch(run, position, row, best)  -- of a gap, the index that is missing
  local is_new, missing = add_row(parent .. '/' .. run, tonumber(position), row)
  if is_new then
    redis.call('HSET', runs(parent, 'metrics'), run, row)
    redis.call('HSET', runs(parent, 'best'), run, best)
    publish(parent, 'epoch', '{"run":' .. run .. ',' .. string.sub(row, 2))
  end
  return missing
end
for i = 1, #reports, 5 do
  local what, run, third, fourth, fifth = unpack(reports, i, i + 4)
  local is_over = run_ended(redis.call('HGET', runs(parent, 'states'), run))
  if not is_over and what == 'end' then
    record_end(run, third, fourth, fifth)
  elseif not is_over then
    local missing = record_epoch(run, third, fourth, fifth)
    if missing then return {'gap', run .. ' ' .. missing} end
  end
end
count_steps(id, tonumber(step))
return renew(id, lease_ms, sign)
