-- A job as its readers see it.
--@include queues
--@include limits
local SUMMARY = {'id', 'tenant', 'kind', 'title', 'state', 'labels', 'priority', 'queue', 'max_attempts', 'max_ms',
  'want', 'plugins', 'attempt', 'losses', 'progress', 'metrics', 'best', 'error', 'created_at', 'started_at',
  'finished_at'}
-- fields and values, without those that are long
local function summary(id)
  local record, values = {}, redis.call('HMGET', job(id), unpack(SUMMARY))
  for i, name in ipairs(SUMMARY) do
    if values[i] then
      table.insert(record, name)
      table.insert(record, values[i])
    end
  end
  return record
end
-- {fields and values, place in its queue, workers of the queue, ms that a job takes there}, the last three of a queued
-- job alone
local function view(id, without_long_fields)
  local record = without_long_fields and summary(id) or redis.call('HGETALL', job(id))
  if #record == 0 then return false end
  local state, queue = unpack(redis.call('HMGET', job(id), 'state', 'queue'))
  if state ~= 'queued' then return {record} end
  local tenant, workers = owner(id), living_workers(queue)
  local most = limit(tenant, 'running')
  local held_back = used_up(tenant) or full(tenant) and redis.call('HGET', job(id), 'attempt') == '0'
  return {record, redis.call('ZRANK', queue_key(id), id), most and math.min(workers, most) or workers,
    not held_back and redis.call('HGET', P .. 'pace', queue)}
end
