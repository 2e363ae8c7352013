-- Put a paused job back into its queue, or take back a pause that was only asked for.
-- Returns missing | queued | running, or the state that the job has ended in.
--@include moves
local id = ARGV[2]
local state, parent = unpack(redis.call('HMGET', job(id), 'state', 'parent'))
if not state or parent then return 'missing' end
if state == 'running' then
  if redis.call('HGET', job(id), 'want') == 'pause' then
    redis.call('HDEL', job(id), 'want')
    if has_offers(id) then enqueue(id) end
  end
  return state
end
return move(id, 'queued') and 'queued' or state
