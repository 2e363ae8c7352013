-- The rows of a job's or a run's finished epochs.
--@include keys
local function without_seconds(row) return (string.gsub(row, '"seconds":[^,}]*', '')) end
-- add a row; whether it is new, and of a gap the index that is missing. A row whose figures are there already, as when
-- a run is resumed, changes nothing; another one takes the place of what an earlier attempt wrote from this epoch on.
local function add_row(id, position, row)
  local rows = P .. 'epochs:' .. id
  local there = redis.call('LINDEX', rows, position)
  if there and without_seconds(there) == without_seconds(row) then return false end
  if position == 0 then redis.call('DEL', rows) else redis.call('LTRIM', rows, 0, position - 1) end
  local length = redis.call('LLEN', rows)
  if length ~= position then return false, tostring(length) end
  redis.call('RPUSH', rows, row)
  return true
end
