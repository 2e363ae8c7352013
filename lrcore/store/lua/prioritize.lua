-- Give a job another priority.
-- Returns missing | changed, or the state that the job has ended in.
--@include states
--@include queues
local id, priority = unpack(ARGV, 2, 3)
local state, parent = unpack(redis.call('HMGET', job(id), 'state', 'parent'))
if not state or parent then return 'missing' end
if ended(state) then return state end
redis.call('HSET', job(id), 'priority', priority)
if redis.call('ZSCORE', queue_key(id), id) then enqueue(id) end
return 'changed'
