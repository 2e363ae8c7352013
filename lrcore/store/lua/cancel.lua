-- Cancel a job, or ask the worker of a running one to stop.
-- Returns missing | cancelled | requested, or the state that the job has ended in.
--@include moves
local id = ARGV[2]
local state, parent = unpack(redis.call('HMGET', job(id), 'state', 'parent'))
if not state or parent then return 'missing' end
if state == 'running' and not is_idle(id) then
  redis.call('HSET', job(id), 'want', 'cancel')
  dequeue(id)
  return 'requested'
end
return move(id, 'cancelled') and 'cancelled' or state
