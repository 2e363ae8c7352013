-- Take the best waiting job of all the queues that a worker serves; of an experiment, a shard of its runs.
-- Returns {id, spec, attempt, queue, kind, whether the experiment has more, its trace or '', since when it waited or 0,
-- when it was taken}, or nothing. The spec of a shard has that of the whole experiment.
--@include moves
--@include sizes
--@include plugin_queues
local worker, token, lease_ms, max_runs, plugins = unpack(ARGV, 2, 6)
local queues = arguments_from(7)
local function claimed(id)
  local found = redis.call('HMGET', job(id), 'id', 'spec', 'attempt', 'queue', 'kind')
  local parent, first, count = unpack(redis.call('HMGET', job(id), 'parent', 'first', 'count'))
  local trace, from = unpack(redis.call('HMGET', job(parent or id), 'trace', 'waited_from'))
  found[6], found[7], found[8], found[9] = 0, trace or '', from or 0, redis.call('HGET', job(id), 'claimed_at') or 0
  if parent then
    found[2] = '{"first":' .. first .. ',"count":' .. count .. ',"experiment":' ..
      redis.call('HGET', job(parent), 'spec') .. '}'
    found[6] = has_offers(parent) and 1 or 0
  end
  return found
end
-- a call whose answer was lost comes a second time
local last = redis.call('HGET', P .. 'claims', worker)
if last and redis.call('HGET', job(last), 'token') == token then return claimed(last) end
-- whether a tenant has not had its share
local function may_run(tenant)
  local most = limit(tenant, 'running')
  return not (most and redis.call('SCARD', own(tenant, 'busy')) >= most or used_up(tenant))
end
-- a tenant's best job of a queue, and its place. Where there is no room for more files, it is one that has begun: its
-- end frees what its checkpoint takes. Such a job has its old place, so that the first thousand are examined, not all.
local function best_of(tenant, queue)
  local key, no_room = own(tenant, 'queue:' .. queue), full(tenant)
  for _, id in ipairs(redis.call('ZRANGE', key, 0, no_room and 999 or 0)) do
    if not no_room or redis.call('HGET', job(id), 'attempt') ~= '0' then
      return id, tonumber(redis.call('ZSCORE', key, id))
    end
  end
end
-- the tenant for which the fewest jobs run goes first, of several the one that was served longest ago: with one worker
-- nothing runs whenever it claims. Priority and age decide within a tenant.
local function best_job()
  local id, queue, load, turn, score
  for _, each in ipairs(served_queues(queues, plugins)) do
    local tenants = redis.call('SMEMBERS', P .. 'tenants:' .. each)
    table.insert(tenants, 'default')
    for _, tenant in ipairs(tenants) do
      if redis.call('EXISTS', own(tenant, 'queue:' .. each)) == 0 then
        redis.call('SREM', P .. 'tenants:' .. each, tenant)
      elseif may_run(tenant) then
        local first, place = best_of(tenant, each)
        local busy = redis.call('SCARD', own(tenant, 'busy'))
        local served = tonumber(redis.call('GET', own(tenant, 'served')) or 0)
        local ahead = not id or busy < load or busy == load and (served < turn or served == turn and place < score)
        if first and ahead then
          id, queue, load, turn, score = first, each, busy, served, place
        end
      end
    end
  end
  return id, queue
end
-- what its tenant may not run any more fails here, without a worker; a job that has begun is brought to its end
local function fail_if_outgrown(id)
  local record = redis.call('HMGET', job(id), 'attempt', 'progress', 'runs', 'steps_after')
  local sizes = {progress = record[2], runs = record[3], steps_after = record[4]}
  local found = record[1] == '0' and exceeded_limit(owner(id), sizes)
  if not found then return false end
  local size = string.format('%.0f %s', found[3], found[1] == 'runs' and 'runs' or 'optimizer steps')
  redis.call('HINCRBY', job(id), 'attempt', 1)
  move(id, 'running')
  local why = '%s are more than the limit of %.0f, which was set after the job was submitted; ' ..
    'clone it with fewer, or retry it under a higher limit'
  return fail(id, 'limit_reached', string.format(why, size, found[2]))
end
-- take runs of an experiment: a shard that has come back, or a fair share of those that nobody has had
local function take_shard(id, queue)
  local shard = redis.call('LPOP', runs(id, 'returned'))
  if not shard then
    local first, all, attempts = unpack(redis.call('HMGET', job(id), 'next', 'runs', 'max_attempts'))
    local count = math.min(tonumber(max_runs), math.ceil((all - first) / math.max(1, living_workers(queue))))
    shard = id .. '/' .. redis.call('HINCRBY', job(id), 'parts', 1)
    redis.call('DEL', job(shard))  -- of a deleted experiment with the same id
    redis.call('HINCRBY', job(id), 'next', count)
    redis.call('HSET', job(shard), 'id', shard, 'kind', 'runs', 'parent', id, 'first', first, 'count', count,
      'tenant', owner(id), 'state', 'queued', 'queue', queue, 'attempt', 0, 'losses', 0, 'errors', 0,
      'max_attempts', attempts)
  end
  redis.call('HINCRBY', job(id), 'attempt', 1)
  if redis.call('HGET', job(id), 'state') == 'queued' then move(id, 'running') end
  redis.call('HSETNX', job(id), 'started_at', now())
  dequeue(id)
  if has_offers(id) then enqueue(id) end
  return shard
end
local id, queue, state, is_experiment
for _ = 1, 100 do  -- then the next call goes on: Redis answers nobody else meanwhile
  id, queue = best_job()
  if not id then return false end
  state, is_experiment = unpack(redis.call('HMGET', job(id), 'state', 'runs'))
  if state ~= 'queued' and not (is_experiment and state == 'running' and has_offers(id)) then
    dequeue(id)
    return redis.error_reply('FAULT the queue held ' .. id .. ', which is not queued')
  end
  if not fail_if_outgrown(id) then break end
  id = nil
end
if not id then return false end
if redis.call('HEXISTS', job(id), 'trace') == 1 then
  redis.call('HSET', job(id), 'waited_from', redis.call('ZSCORE', P .. 'waiting:' .. queue, id) or now())
end
if is_experiment then id = take_shard(id, queue) end
redis.call('HINCRBY', job(id), 'attempt', 1)
move(id, 'running')
redis.call('HSET', job(id), 'worker', worker, 'token', token)
redis.call('HSETNX', job(id), 'started_at', now())
redis.call('HSET', P .. 'claims', worker, id)
redis.call('SET', own(owner(id), 'served'), redis.call('INCR', P .. 'order'))
redis.call('ZADD', P .. 'leases', now() + lease_ms, id)
return claimed(id)
