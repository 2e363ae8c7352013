-- An experiment's runs and shards.
--@include keys
--@include events
--@include run_time
-- whether there are runs that no worker has
local function has_offers(id)
  local record = redis.call('HMGET', job(id), 'next', 'runs')
  return record[2] and tonumber(record[1]) < tonumber(record[2]) or redis.call('LLEN', runs(id, 'returned')) > 0
end
-- whether no shard of an experiment is held; nothing of a job that is none
local function is_idle(id) return redis.call('HGET', job(id), 'runs') and redis.call('SCARD', runs(id, 'held')) == 0 end
local function set_run_state(id, run, state, error)
  redis.call('HSET', runs(id, 'states'), run, state)
  if error and state == 'failed' then redis.call('HSET', runs(id, 'errors'), run, error) end
  local news = {run = tonumber(run), state = state}
  if error then news.error = cjson.decode(error) end
  publish(id, 'run', cjson.encode(news))
end
-- a shard has done so many steps, all its runs together
local function count_steps(id, step)
  local parent, before = unpack(redis.call('HMGET', job(id), 'parent', 'step'))
  redis.call('HSET', job(id), 'step', step)
  local done = redis.call('HINCRBY', job(parent), 'step', step - (before or 0))
  local progress = cjson.decode(redis.call('HGET', job(parent), 'progress'))
  if progress.step == done then return end
  progress.step, progress.fraction = done, done / progress.steps
  progress.epoch = math.floor(done * progress.epochs / progress.steps)
  local left = progress.steps - done
  progress.eta_seconds = done > 0 and math.floor(run_ms(parent) * left / done / 100) / 10 or cjson.null
  publish_progress(parent, cjson.encode(progress))
end
