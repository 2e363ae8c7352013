-- Remove an ended job with its epochs and events; with `finished_at`, which may be '', only the one that ended then.
-- Returns missing | forgotten, or the state of a job that has not ended.
--@include states
--@include indexes
--@include usage
local id, finished_at = unpack(ARGV, 2, 3)
local state, parent = unpack(redis.call('HMGET', job(id), 'state', 'parent'))
if not state or parent then return 'missing' end
if not ended(state) then return state end
if finished_at ~= '' and finished_at ~= redis.call('HGET', job(id), 'finished_at') then return 'missing' end
index(id, 'ZREM', ':' .. state)
index(id, 'ZREM', '')
redis.call('ZREM', P .. 'finished', id)
count_bytes(id, 'stored', 0)
redis.call('DECRBY', own(owner(id), 'record_bytes'), redis.call('HGET', job(id), 'record_bytes') or 0)
for run = 0, (redis.call('HGET', job(id), 'next') or 0) - 1 do redis.call('DEL', P .. 'epochs:' .. id .. '/' .. run) end
for _, what in ipairs({'states', 'errors', 'metrics', 'best', 'held', 'returned', 'verdicts', 'training'}) do
  redis.call('DEL', runs(id, what))
end
redis.call('DEL', job(id), P .. 'epochs:' .. id, P .. 'events:' .. id)
return 'forgotten'
