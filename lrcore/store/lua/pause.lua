-- Pause a job, or ask the worker of a running one to stop with a checkpoint.
-- Returns missing | paused | requested | about to be cancelled, or the state that the job has ended in.
--@include moves
local id = ARGV[2]
local state, parent = unpack(redis.call('HMGET', job(id), 'state', 'parent'))
if not state or parent then return 'missing' end
if state == 'running' and not is_idle(id) then
  if redis.call('HGET', job(id), 'want') == 'cancel' then return 'about to be cancelled' end
  redis.call('HSET', job(id), 'want', 'pause')
  dequeue(id)
  return 'requested'
end
return move(id, 'paused') and 'paused' or state
