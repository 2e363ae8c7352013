-- The moves of jobs and shards from state to state.
--@include states
--@include indexes
--@include queues
--@include experiments
--@include counters
--@include usage
local settle
-- what a queue's jobs take on average, by which waiting times are estimated; the last ten count most
local function update_pace(id, queue)
  local before = redis.call('HGET', P .. 'pace', queue)
  redis.call('HSET', P .. 'pace', queue, before and before * 0.9 + run_ms(id) * 0.1 or run_ms(id))
end
-- runs of a shard that have not ended go where it goes; whether some were cancelled
local function move_runs(id, parent, state, error)
  local first, count = unpack(redis.call('HMGET', job(id), 'first', 'count'))
  local cancelled = false
  for run = first, first + count - 1 do
    if not run_ended(redis.call('HGET', runs(parent, 'states'), run)) then
      set_run_state(parent, run, state, error)
      cancelled = state == 'cancelled'
    end
  end
  return cancelled
end
-- a shard of an experiment moves. It waits for its next worker in the experiment's place; its end is that of its runs.
local function move_shard(id, before, after, error)
  local parent, count = unpack(redis.call('HMGET', job(id), 'parent', 'count'))
  if after == 'paused' then after = 'queued' end
  if before == 'running' then redis.call('HSET', job(id), 'ran', run_ms(id)) end
  count_running(id, after == 'running')
  redis.call('HSET', job(id), 'state', after)
  redis.call('HDEL', job(id), 'claimed_at', 'token', 'worker', 'sign')
  redis.call('ZREM', P .. 'leases', id)
  redis.call('SREM', runs(parent, 'held'), id)
  local cancelled = move_runs(id, parent, after, error)
  if after == 'running' then
    redis.call('HSET', job(id), 'claimed_at', now())
    redis.call('SADD', runs(parent, 'held'), id)
    return true
  end
  if after == 'queued' then
    redis.call('RPUSH', runs(parent, 'returned'), id)
  else
    local progress, all = unpack(redis.call('HMGET', job(parent), 'progress', 'runs'))
    if not cancelled then count_steps(id, cjson.decode(progress).steps / all * count) end
    if after == 'succeeded' then update_pace(id, redis.call('HGET', job(parent), 'queue')) end
    count_bytes(id, 'checkpoint', 0)
    redis.call('EXPIRE', job(id), 3600)  -- for a worker that reports the same end once more
  end
  settle(parent, after)
  return true
end
-- what a job that ends leaves behind
local function close(id, state)
  count_bytes(id, 'checkpoint', 0)
  for _, shard in ipairs(redis.call('LRANGE', runs(id, 'returned'), 0, -1)) do
    count_bytes(shard, 'checkpoint', 0)
    redis.call('DEL', job(shard))
  end
  redis.call('HSET', job(id), 'finished_at', now())
  redis.call('ZADD', P .. 'finished', now(), id)
  count_event('ended:' .. state)
end
-- the one place that changes a state; whether the move is a legal one. An error goes with the news, also where the job
-- is tried again.
local function move(id, after, error)
  local record = redis.call('HMGET', job(id), 'state', 'queue', 'attempt', 'parent', 'runs')
  local before, queue, is_experiment = record[1], record[2], record[5]
  if not before or not MOVES[before .. '>' .. after] then return false end
  if record[4] then return move_shard(id, before, after, error) end
  if before == 'running' then redis.call('HSET', job(id), 'ran', run_ms(id)) end
  if not is_experiment then count_running(id, after == 'running') end
  redis.call('HDEL', job(id), 'claimed_at')
  redis.call('HSET', job(id), 'state', after)
  index(id, 'ZREM', ':' .. before)
  index(id, 'ZADD', ':' .. after)
  redis.call('ZREM', P .. 'leases', id)
  dequeue(id)
  if after == 'queued' then enqueue(id) end
  if after ~= 'running' then redis.call('HDEL', job(id), 'token', 'worker', 'sign', 'want') end
  if after == 'running' then redis.call('HSET', job(id), 'claimed_at', now()) end
  if after == 'succeeded' and not is_experiment then update_pace(id, queue) end  -- an experiment's shards have theirs
  if ended(after) then close(id, after) end
  if after == 'failed' and error then redis.call('HSET', job(id), 'error', error) end
  local news = {state = after, attempt = tonumber(record[3])}
  if error then news.error = cjson.decode(error) end
  publish(id, 'state', cjson.encode(news))
  if ended(after) then publish(id, 'end', cjson.encode({state = after})) end
  add_to_outbox(id, after, error)
  return true
end
local function fail(id, kind, message)
  return move(id, 'failed', cjson.encode({type = kind, message = message}))
end
-- an experiment all of whose runs have ended comes to its own end
local function end_experiment(id)
  local count = {}
  for _, state in ipairs(redis.call('HVALS', runs(id, 'states'))) do count[state] = (count[state] or 0) + 1 end
  if count.cancelled then return move(id, 'cancelled') end
  if count.succeeded then return move(id, 'succeeded') end
  local run, text = unpack(redis.call('HGETALL', runs(id, 'errors')))
  if text then
    local error = cjson.decode(text)
    return fail(id, error.type, 'no run succeeded; of run ' .. run .. ': ' .. error.message)
  end
  if count.failed then return fail(id, 'error', 'no run succeeded') end
  return fail(id, 'pruned', 'no run succeeded: all were pruned')
end
-- an experiment goes where its shards have left it. After one that ended it waits for its next worker as it is,
-- running.
settle = function(id, after)
  local wanted = redis.call('HGET', job(id), 'want')
  if has_offers(id) and not wanted and (ended(after) or not is_idle(id)) then
    enqueue(id)
  elseif not is_idle(id) then
    return
  elseif has_offers(id) then
    move(id, wanted == 'cancel' and 'cancelled' or wanted == 'pause' and 'paused' or 'queued')
  else
    end_experiment(id)
  end
end
