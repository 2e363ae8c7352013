"""The store's writes, each one Lua script: a move happens whole or not at all, and by Redis' clock.

All keys begin with the prefix in ARGV[1]. What can only come from records that do not fit together is answered with an
error that begins with FAULT. Scripts use commands of Redis 6.2 and later.
"""

from __future__ import annotations

from lrcore.jobs.states import MOVES

LEGAL = ", ".join(f"['{before}>{after}'] = true" for before, afters in MOVES.items() for after in sorted(afters))

COMMON = (
    f"local LEGAL = {{{LEGAL}}}\n"
    """
local P = ARGV[1]
local function job(id) return P .. 'job:' .. id end
-- what every tenant has for itself; the default one under the plain name
local function own(tenant, name)
  return P .. ((not tenant or tenant == '' or tenant == 'default') and name or 'of:' .. tenant .. ':' .. name)
end
local function owner(id) return redis.call('HGET', job(id), 'tenant') or 'default' end
-- where a job waits
local function line(id) return own(owner(id), 'queue:' .. redis.call('HGET', job(id), 'queue')) end
-- a bound that an operator has set for a tenant, or for all
local function limit(tenant, name)
  local found = redis.call('HGET', P .. 'limits:' .. tenant, name) or redis.call('HGET', P .. 'limits:*', name)
  return found and tonumber(found)
end
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- how often something has happened, whichever processes saw it
local function tally(what) redis.call('HINCRBY', P .. 'counters', what, 1) end
-- history for those who come later, and the same at once for those who listen
local function say(id, kind, data)
  local stream = P .. 'events:' .. id
  local event = redis.call('XADD', stream, 'MAXLEN', '~', 100000, '*', 'type', kind, 'data', data)
  redis.call('PUBLISH', stream, cjson.encode({event, kind, data}))
  return event
end
-- for webhooks, as long as there are any
local function announce(id, state, error)
  if redis.call('EXISTS', P .. 'webhooks') == 0 then return end
  local record = redis.call('HMGET', job(id), 'kind', 'attempt', 'labels')
  redis.call('XADD', P .. 'outbox', 'MAXLEN', '~', 10000, '*', 'job', id, 'tenant', owner(id), 'job_state', state,
    'kind', record[1], 'attempt', record[2], 'labels', record[3], 'error', error or 'null')
end
local function labels(id)
  return cjson.decode(redis.call('HGET', job(id), 'labels') or '[]')
end
-- the indexes by which jobs are listed: `suffix` is empty, or a colon and a state
local function indexed(id, command, suffix)
  local entry = command == 'ZADD' and {redis.call('HGET', job(id), 'order'), id} or {id}
  local keys = {'jobs', redis.call('HGET', job(id), 'runs') and 'experiments'}
  for _, label in ipairs(labels(id)) do table.insert(keys, 'label:' .. label) end
  for _, key in pairs(keys) do
    if key then redis.call(command, own(owner(id), key .. suffix), unpack(entry)) end
  end
end
-- a higher priority goes first, then the job that came first; a job that comes back has its old place
local function enqueue(id)
  local record = redis.call('HMGET', job(id), 'queue', 'order', 'priority')
  redis.call('ZADD', line(id), record[2] - record[3] * 1e12, id)
  redis.call('ZADD', P .. 'waiting:' .. record[1], 'NX', now(), id)  -- since when, over all tenants
  if owner(id) ~= 'default' then
    redis.call('SADD', P .. 'tenants:' .. record[1], owner(id))
    redis.call('SADD', P .. 'tenants', owner(id))
  end
end
local function dequeue(id)
  redis.call('ZREM', line(id), id)
  redis.call('ZREM', P .. 'waiting:' .. redis.call('HGET', job(id), 'queue'), id)
end
local function ended(state)
  return state == 'succeeded' or state == 'failed' or state == 'cancelled'
end
-- what is wanted of a job, or of the experiment that it is a shard of
local function want(id)
  local record = redis.call('HMGET', job(id), 'want', 'parent')
  return record[1] or record[2] and redis.call('HGET', job(record[2]), 'want')
end
-- how long a job has run, all attempts together, in ms
local function ran(id)
  local record = redis.call('HMGET', job(id), 'ran', 'claimed_at')
  return (record[1] or 0) + (record[2] and now() - record[2] or 0)
end
local function over(id)
  local most = redis.call('HGET', job(id), 'max_ms')
  return most and ran(id) > tonumber(most)
end
-- what a queue's jobs take on average, by which waiting times are estimated; the last ten count most
local function pace(id, queue)
  local before = redis.call('HGET', P .. 'pace', queue)
  redis.call('HSET', P .. 'pace', queue, before and before * 0.9 + ran(id) * 0.1 or ran(id))
end
-- a key of an experiment's runs
local function runs(id, what) return P .. 'runs:' .. id .. ':' .. what end
-- whether an experiment has runs that no worker has
local function offers(id)
  local record = redis.call('HMGET', job(id), 'next', 'runs')
  return record[2] and tonumber(record[1]) < tonumber(record[2]) or redis.call('LLEN', runs(id, 'returned')) > 0
end
local function run_is(id, run, state, error)
  redis.call('HSET', runs(id, 'states'), run, state)
  if error and state == 'failed' then redis.call('HSET', runs(id, 'errors'), run, error) end
  local news = {run = tonumber(run), state = state}
  if error then news.error = cjson.decode(error) end
  say(id, 'run', cjson.encode(news))
end
-- news of which a stream keeps the last
local function progressed(id, progress)
  if progress == '' or redis.call('HGET', job(id), 'progress') == progress then return end
  local before = redis.call('HGET', job(id), 'news')
  if before then redis.call('XDEL', P .. 'events:' .. id, before) end
  redis.call('HSET', job(id), 'progress', progress, 'news', say(id, 'progress', progress))
end
-- a shard has done so many steps, all its runs together
local function stepped(id, step)
  local parent, before = unpack(redis.call('HMGET', job(id), 'parent', 'step'))
  redis.call('HSET', job(id), 'step', step)
  local done = redis.call('HINCRBY', job(parent), 'step', step - (before or 0))
  local progress = cjson.decode(redis.call('HGET', job(parent), 'progress'))
  if progress.step == done then return end
  progress.step, progress.fraction = done, done / progress.steps
  progress.epoch = math.floor(done * progress.epochs / progress.steps)
  progress.eta_seconds = done > 0 and math.floor(ran(parent) * (progress.steps - done) / done / 100) / 10 or cjson.null
  progressed(parent, cjson.encode(progress))
end
-- what runs for a tenant, and how long its jobs have run today
local function today() return 'spent:' .. math.floor(now() / 86400000) end
-- ms from `at` until now, without those before midnight
local function of_today(at) return now() - math.max(tonumber(at), now() - now() % 86400000) end
-- whether a tenant has had all that it may run today
local function used_up(tenant)
  local seconds = limit(tenant, 'gpu_seconds_per_day')
  if not seconds then return false end
  local spent = tonumber(redis.call('GET', own(tenant, today())) or 0)  -- ms
  for _, id in ipairs(redis.call('SMEMBERS', own(tenant, 'busy'))) do
    spent = spent + of_today(redis.call('HGET', job(id), 'claimed_at') or now())
  end
  return spent >= seconds * 1000
end
local function busy(id, running)
  local tenant = owner(id)
  if running then
    redis.call('SADD', own(tenant, 'busy'), id)
  elseif redis.call('SREM', own(tenant, 'busy'), id) == 1 then
    redis.call('INCRBY', own(tenant, today()), of_today(redis.call('HGET', job(id), 'claimed_at') or now()))
    redis.call('EXPIRE', own(tenant, today()), 259200)
  end
end
-- the bytes of a job's files: `what` is `stored`, which it leaves behind, or `checkpoint`, which it needs until it ends
local function takes(id, what, bytes)
  local before = tonumber(redis.call('HGET', job(id), what) or 0)
  if before == bytes then return end
  redis.call('HSET', job(id), what, bytes)
  redis.call('INCRBY', own(owner(id), 'stored'), bytes - before)
end
-- whether a tenant's files take all the room that they may
local function full(tenant)
  local most = limit(tenant, 'stored_bytes')
  return most and tonumber(redis.call('GET', own(tenant, 'stored')) or 0) >= most
end
local settle
-- a shard of an experiment moves. It waits for its next worker in the experiment's place; its end is that of its runs.
local function move_part(id, before, after, error)
  local parent, first, count = unpack(redis.call('HMGET', job(id), 'parent', 'first', 'count'))
  if after == 'paused' then after = 'queued' end
  if before == 'running' then redis.call('HSET', job(id), 'ran', ran(id)) end
  busy(id, after == 'running')
  redis.call('HSET', job(id), 'state', after)
  redis.call('HDEL', job(id), 'claimed_at', 'token', 'worker', 'sign')
  redis.call('ZREM', P .. 'leases', id)
  redis.call('SREM', runs(parent, 'held'), id)
  local cut = false  -- whether runs stop before their end
  for run = first, first + count - 1 do
    local state = redis.call('HGET', runs(parent, 'states'), run)
    if not (ended(state) or state == 'pruned') then
      run_is(parent, run, after, error)
      cut = after == 'cancelled'
    end
  end
  if after == 'running' then
    redis.call('HSET', job(id), 'claimed_at', now())
    redis.call('SADD', runs(parent, 'held'), id)
    return true
  end
  if after == 'queued' then
    redis.call('RPUSH', runs(parent, 'returned'), id)
  else
    local progress, all = unpack(redis.call('HMGET', job(parent), 'progress', 'runs'))
    if not cut then stepped(id, cjson.decode(progress).steps / all * count) end
    if after == 'succeeded' then pace(id, redis.call('HGET', job(parent), 'queue')) end
    takes(id, 'checkpoint', 0)
    redis.call('EXPIRE', job(id), 3600)  -- for who asks a second time
  end
  settle(parent, after)
  return true
end
-- the one place that changes a state. An error goes with the news, also where the job is tried again.
local function move(id, after, error)
  local record = redis.call('HMGET', job(id), 'state', 'queue', 'attempt', 'parent', 'runs')
  local before, queue = record[1], record[2]
  if not before or not LEGAL[before .. '>' .. after] then return false end
  if record[4] then return move_part(id, before, after, error) end
  if before == 'running' then redis.call('HSET', job(id), 'ran', ran(id)) end
  if not record[5] then busy(id, after == 'running') end
  redis.call('HDEL', job(id), 'claimed_at')
  redis.call('HSET', job(id), 'state', after)
  indexed(id, 'ZREM', ':' .. before)
  indexed(id, 'ZADD', ':' .. after)
  redis.call('ZREM', P .. 'leases', id)
  dequeue(id)
  if after == 'queued' then enqueue(id) end
  if after ~= 'running' then redis.call('HDEL', job(id), 'token', 'worker', 'sign', 'want') end
  if after == 'running' then redis.call('HSET', job(id), 'claimed_at', now()) end
  if after == 'succeeded' and not record[5] then pace(id, queue) end  -- an experiment's shards have theirs
  if ended(after) then
    takes(id, 'checkpoint', 0)
    for _, part in ipairs(redis.call('LRANGE', runs(id, 'returned'), 0, -1)) do
      takes(part, 'checkpoint', 0)
      redis.call('DEL', job(part))
    end
    redis.call('HSET', job(id), 'finished_at', now())
    redis.call('ZADD', P .. 'finished', now(), id)
    tally('ended:' .. after)
  end
  if after == 'failed' and error then redis.call('HSET', job(id), 'error', error) end
  local news = {state = after, attempt = tonumber(record[3])}
  if error then news.error = cjson.decode(error) end
  say(id, 'state', cjson.encode(news))
  if ended(after) then say(id, 'end', cjson.encode({state = after})) end
  announce(id, after, error)
  return true
end
local function fail(id, kind, message)
  return move(id, 'failed', cjson.encode({type = kind, message = message}))
end
-- whether no shard of an experiment is held
local function idle(id) return redis.call('HGET', job(id), 'runs') and redis.call('SCARD', runs(id, 'held')) == 0 end
-- how many of a tenant's jobs have not ended and are in no worker's hands: they wait, are paused, or are experiments
-- that have begun and wait for their next worker
local function waiting(tenant)
  local count = redis.call('ZCARD', own(tenant, 'jobs:queued')) + redis.call('ZCARD', own(tenant, 'jobs:paused'))
  for _, id in ipairs(redis.call('ZRANGE', own(tenant, 'experiments:running'), 0, -1)) do
    if idle(id) then count = count + 1 end
  end
  return count
end
-- the limit that a job is too large for, as {its name, its value, the job's size}; nothing if it may be run. Its record
-- may be one that is not stored yet.
local function too_large(tenant, record)
  local most = record.runs and limit(tenant, 'runs')
  if most and tonumber(record.runs) > most then return {'runs', most, tonumber(record.runs)} end
  most = limit(tenant, 'steps')
  if not most then return nil end
  local steps, after = cjson.decode(record.progress).steps, tonumber(record.steps_after or 0)
  if steps > most then return {'steps', most, steps} end
  if after > most then return {'steps_after', most, after} end
end
-- an experiment goes where its shards have left it. After one that ended it waits for its next worker as it is,
-- running.
settle = function(id, after)
  local wanted = redis.call('HGET', job(id), 'want')
  if offers(id) and not wanted and (ended(after) or not idle(id)) then
    enqueue(id)
  elseif not idle(id) then
    return
  elseif offers(id) then
    move(id, wanted == 'cancel' and 'cancelled' or wanted == 'pause' and 'paused' or 'queued')
  else
    local count = {}
    for _, state in ipairs(redis.call('HVALS', runs(id, 'states'))) do count[state] = (count[state] or 0) + 1 end
    if count.cancelled then
      move(id, 'cancelled')
    elseif count.succeeded then
      move(id, 'succeeded')
    else
      local run, text = unpack(redis.call('HGETALL', runs(id, 'errors')))
      if text then
        local error = cjson.decode(text)
        fail(id, error.type, 'no run succeeded; of run ' .. run .. ': ' .. error.message)
      elseif count.failed then
        fail(id, 'error', 'no run succeeded')
      else
        fail(id, 'pruned', 'no run succeeded: all were pruned')
      end
    end
  end
end
-- take runs of an experiment: a shard that has come back, or a fair share of those that nobody has had, at most `most`
local function part_of(id, most, queue)
  local part = redis.call('LPOP', runs(id, 'returned'))
  if not part then
    local first, all, attempts = unpack(redis.call('HMGET', job(id), 'next', 'runs', 'max_attempts'))
    local workers = math.max(1, redis.call('ZCOUNT', P .. 'workers:' .. queue, now(), '+inf'))
    local count = math.min(most, math.ceil((all - first) / workers))
    part = id .. '/' .. redis.call('HINCRBY', job(id), 'parts', 1)
    redis.call('DEL', job(part))  -- of a deleted experiment with the same id
    redis.call('HINCRBY', job(id), 'next', count)
    redis.call('HSET', job(part), 'id', part, 'kind', 'runs', 'parent', id, 'first', first, 'count', count,
      'tenant', owner(id), 'state', 'queued', 'queue', queue, 'attempt', 0, 'losses', 0, 'errors', 0,
      'max_attempts', attempts)
  end
  redis.call('HINCRBY', job(id), 'attempt', 1)
  if redis.call('HGET', job(id), 'state') == 'queued' then move(id, 'running') end
  redis.call('HSETNX', job(id), 'started_at', now())
  dequeue(id)
  if offers(id) then enqueue(id) end
  return part
end
-- whether the writer still holds the job
local function held(id, token)
  local record = redis.call('HMGET', job(id), 'state', 'token')
  if not record[1] then return 'missing' end
  if record[1] ~= 'running' or record[2] ~= token then return 'fenced' end
  return 'held'
end
-- keep the lease; what is wanted of the job. The worker's last sign of life is for who has to explain its death.
local function keep(id, lease, sign)
  if sign and sign ~= '' then redis.call('HSET', job(id), 'sign', sign) end
  redis.call('ZADD', P .. 'leases', now() + lease, id)
  return {'held', want(id) or over(id) and 'expire' or ''}
end
-- a running job that is not trained any more goes where it is wanted
local function release(id, error)
  local wanted = want(id)
  if wanted == 'cancel' then return move(id, 'cancelled') end
  if wanted == 'pause' then return move(id, 'paused') end
  if over(id) then return fail(id, 'timeout', 'it has run longer than its max_seconds') end
  return move(id, 'queued', error)
end
-- a running job whose worker is gone: its lease ran out, its process has died, or it has stalled. So many `kills`,
-- deaths that the job may have caused, fail it; `how` says how the process ended. One that was draining did not die of
-- the job: it was killed because it took too long to end.
local function lose(id, most, why, kills, how)
  if redis.call('HGET', job(id), 'state') ~= 'running' then
    redis.call('ZREM', P .. 'leases', id)
    return
  end
  local losses, parent = redis.call('HINCRBY', job(id), 'losses', 1), redis.call('HGET', job(id), 'parent')
  if parent then redis.call('HINCRBY', job(parent), 'losses', 1) end
  tally('lost:' .. why)
  local sign = redis.call('HGET', job(id), 'sign')
  if kills and sign ~= 'draining' then
    local killed = redis.call('HINCRBY', job(id), 'kills', 1)
    if killed >= kills and not want(id) then
      return fail(id, 'worker_killed', 'its worker died ' .. killed .. (killed == 1 and ' time' or ' times') ..
        ' while it ran this job, the last time ' .. how .. (sign and '; last sign of life: ' .. sign or ''))
    end
  end
  if losses > most and not want(id) then
    return fail(id, 'worker_lost', losses .. ' workers were lost while they ran this job')
  end
  release(id)
end
-- all that a reader sees of a job: fields and values, place in its queue, workers of the queue, ms a job takes there
local BRIEF = {'id', 'tenant', 'kind', 'title', 'state', 'labels', 'priority', 'queue', 'max_attempts', 'max_ms',
  'want', 'plugins', 'attempt', 'losses', 'progress', 'metrics', 'best', 'error', 'created_at', 'started_at',
  'finished_at'}
-- some of a job's fields and their values, without those that are long
local function brief(id)
  local record, values = {}, redis.call('HMGET', job(id), unpack(BRIEF))
  for i, name in ipairs(BRIEF) do
    if values[i] then
      table.insert(record, name)
      table.insert(record, values[i])
    end
  end
  return record
end
local function view(id, briefly)
  local record = briefly and brief(id) or redis.call('HGETALL', job(id))
  if #record == 0 then return false end
  local state, queue = unpack(redis.call('HMGET', job(id), 'state', 'queue'))
  if state ~= 'queued' then return {record} end
  local tenant, workers = owner(id), redis.call('ZCOUNT', P .. 'workers:' .. queue, now(), '+inf')
  local most = limit(tenant, 'running')
  local held = used_up(tenant) or full(tenant) and redis.call('HGET', job(id), 'attempt') == '0'
  return {record, redis.call('ZRANK', line(id), id), most and math.min(workers, most) or workers,
    not held and redis.call('HGET', P .. 'pace', queue)}
end
-- the queues that a worker serves: those in ARGV[first] and after, and with plug-ins, each as name==version with
-- commas between, those known queues whose label is among them and whose plug-ins the worker all has
local function served(plugins, first)
  local found, own = {}, {}
  for i = first, #ARGV do
    table.insert(found, ARGV[i])
    own[ARGV[i]] = true
  end
  if plugins == '' then return found end
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
    local label, needed = string.match(queue, '^([^,]+),(.+)$')
    local all = label and own[label] and not own[queue]
    for plugin in string.gmatch(all and needed or '', '[^,]+') do
      all = all and string.find(',' .. plugins .. ',', ',' .. plugin .. ',', 1, true)
    end
    if all then table.insert(found, queue) end
  end
  return found
end
-- the broker's list for a queue, as of queue.broker_queue
local function messages(prefix, queue) return prefix .. string.match(queue, '^[^,]*,?[^,]*') end
-- a record from its fields and values, which begin at ARGV[first]
local function given(first)
  local record = {}
  for i = first, #ARGV, 2 do record[ARGV[i]] = ARGV[i + 1] end
  return record
end
-- why a job is too large to be stored: large, the limit that it exceeds, its value, the job's size; or nothing
local function refused(tenant, record, most_of_spec)
  local found = too_large(tenant, record)
  if not found and #record.spec > most_of_spec then found = {'spec', most_of_spec, #record.spec} end
  return found and {'large', found[1], string.format('%.0f', found[2]), string.format('%.0f', found[3])}
end
"""
)

# id, whether it was chosen by the client, key of the request or '', its content, tenant, bytes that a spec may have,
# bytes of records that a tenant without such a limit may have or 0, bytes of a record beside its spec, then fields and
# values of the record -> made | there | taken | reused, view; or limit, its name, its value; or large, the limit that
# the job exceeds, its value, the job's size. There: this very request has made the job before. Taken: another has,
# under this id; with its view if that was a chosen one. Reused: the key was used for another one. Both go by the text:
# the same job of another version may be written otherwise.
CREATE = """
local id, tenant, content = ARGV[2], ARGV[6], ARGV[5]
local key = own(tenant, 'request:' .. ARGV[4])
if redis.call('EXISTS', job(id)) == 1 then
  if ARGV[3] == '0' then return {'made', view(id)} end  -- by this very call, whose answer got lost
  local before = redis.call('HGET', job(id), 'content')
  return before == content and {'there', view(id)} or {'taken', before and view(id)}
end
if ARGV[4] ~= '' then
  local made = redis.call('HMGET', key, 'id', 'content')
  if made[1] and redis.call('EXISTS', job(made[1])) == 1 then
    return {made[2] == content and 'there' or 'reused', view(made[1])}
  end
end
local record = given(10)
local large = refused(tenant, record, tonumber(ARGV[7]))
if large then return large end
local function reached(name, most) return {'limit', name, string.format('%.0f', most)} end
local most = limit(tenant, 'queued')
if most and waiting(tenant) >= most then return reached('queued', most) end
if full(tenant) then return reached('stored_bytes', limit(tenant, 'stored_bytes')) end
local bytes = #record.spec + ARGV[9]
most = limit(tenant, 'record_bytes') or tonumber(ARGV[8])
if most > 0 and tonumber(redis.call('GET', own(tenant, 'record_bytes')) or 0) + bytes > most then
  return reached('record_bytes', most)
end
if ARGV[4] ~= '' then
  redis.call('HSET', key, 'id', id, 'content', content)
  redis.call('EXPIRE', key, 86400)
end
redis.call('HSET', job(id), 'id', id, 'state', 'queued', 'attempt', 0, 'losses', 0, 'errors', 0,
  'created_at', now(), 'order', redis.call('INCR', P .. 'order'), 'tenant', tenant, 'record_bytes', bytes,
  unpack(ARGV, 10))
redis.call('INCRBY', own(tenant, 'record_bytes'), bytes)
if ARGV[3] == '1' then redis.call('HSET', job(id), 'content', content) end
redis.call('SADD', P .. 'queues', redis.call('HGET', job(id), 'queue'))
indexed(id, 'ZADD', '')
indexed(id, 'ZADD', ':queued')
enqueue(id)
tally('submitted')
say(id, 'state', cjson.encode({state = 'queued', attempt = 0}))
announce(id, 'queued')
return {'made', view(id)}
"""

# tenant, bytes that a spec may have, fields and values of a record -> large, as of CREATE, or nothing
FITS = "return refused(ARGV[2], given(4), tonumber(ARGV[3])) or false"

# id, tenant or '' for any -> the id under which the tenant has the job, or nothing: one that it chose itself stands
# behind its name, so that nobody meets another one's
MINE = """
local function mine(id, tenant)
  for _, each in ipairs({id, tenant .. ':' .. id}) do
    local record = redis.call('HMGET', job(each), 'id', 'parent')
    if record[1] and not record[2] and (tenant == '' or owner(each) == tenant) then return each end
  end
  return false
end
"""
RESOLVE = f"{MINE} return mine(ARGV[2], ARGV[3])"

# id, tenant or '' for any -> view or nothing
READ = f"{MINE} local id = mine(ARGV[2], ARGV[3]) return id and view(id)"

# index, cursor or +inf, how many, tenant, whether with specs and results -> {order, view} of each, newest first
PAGE = """
local found = {}
local ids = redis.call('ZRANGE', own(ARGV[5], ARGV[2]), '(' .. ARGV[3], '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[4])
for i, id in ipairs(ids) do found[i] = {redis.call('HGET', job(id), 'order'), view(id, ARGV[6] == '0')} end
return found
"""

# worker, token, lease in ms, most runs of an experiment, its plug-ins, then queues as for `served` -> {id, spec,
# attempt, queue, kind, whether there are more, its trace or '', since when it waited or 0, when it was taken} of the
# best job of them all, or nothing. Of an experiment it is a shard, with the spec of the whole.
CLAIM = """
local function taken(id)
  local found = redis.call('HMGET', job(id), 'id', 'spec', 'attempt', 'queue', 'kind')
  local parent, first, count = unpack(redis.call('HMGET', job(id), 'parent', 'first', 'count'))
  local trace, from = unpack(redis.call('HMGET', job(parent or id), 'trace', 'waited_from'))
  found[6], found[7], found[8], found[9] = 0, trace or '', from or 0, redis.call('HGET', job(id), 'claimed_at') or 0
  if parent then
    found[2] = '{"first":' .. first .. ',"count":' .. count .. ',"experiment":' ..
      redis.call('HGET', job(parent), 'spec') .. '}'
    found[6] = offers(parent) and 1 or 0
  end
  return found
end
-- a call whose answer got lost comes a second time
local last = redis.call('HGET', P .. 'claims', ARGV[2])
if last and redis.call('HGET', job(last), 'token') == ARGV[3] then return taken(last) end
-- whether a tenant has not had its share
local function may_run(tenant)
  local most = limit(tenant, 'running')
  return not (most and redis.call('SCARD', own(tenant, 'busy')) >= most or used_up(tenant))
end
-- a tenant's best job of a queue, and its place. Where there is no room for more files, it is one that has begun: its
-- end frees what its checkpoint takes. Such a job has its old place, so that the first thousand are looked at, not all.
local function best(tenant, queue)
  local waits, no_room = own(tenant, 'queue:' .. queue), full(tenant)
  for _, id in ipairs(redis.call('ZRANGE', waits, 0, no_room and 999 or 0)) do
    if not no_room or redis.call('HGET', job(id), 'attempt') ~= '0' then
      return id, tonumber(redis.call('ZSCORE', waits, id))
    end
  end
end
-- the tenant for which the fewest jobs run goes first, of several the one that was served longest ago: with one worker
-- nothing runs whenever it looks. Priority and age decide within a tenant.
local function next_job()
  local id, queue, load, turn, score
  for _, each in ipairs(served(ARGV[6], 7)) do
    local tenants = redis.call('SMEMBERS', P .. 'tenants:' .. each)
    table.insert(tenants, 'default')
    for _, tenant in ipairs(tenants) do
      if redis.call('EXISTS', own(tenant, 'queue:' .. each)) == 0 then
        redis.call('SREM', P .. 'tenants:' .. each, tenant)
      elseif may_run(tenant) then
        local first, place = best(tenant, each)
        local busy = redis.call('SCARD', own(tenant, 'busy'))
        local last = tonumber(redis.call('GET', own(tenant, 'served')) or 0)
        local ahead = not id or busy < load or busy == load and (last < turn or last == turn and place < score)
        if first and ahead then
          id, queue, load, turn, score = first, each, busy, last, place
        end
      end
    end
  end
  return id, queue
end
-- what its tenant may not run any more fails here, without a worker; a job that has begun is brought to its end
local function outgrown(id)
  local record = redis.call('HMGET', job(id), 'attempt', 'progress', 'runs', 'steps_after')
  local sizes = {progress = record[2], runs = record[3], steps_after = record[4]}
  local found = record[1] == '0' and too_large(owner(id), sizes)
  if not found then return false end
  local size = string.format('%.0f %s', found[3], found[1] == 'runs' and 'runs' or 'optimizer steps')
  redis.call('HINCRBY', job(id), 'attempt', 1)
  move(id, 'running')
  local why = '%s are more than the limit of %.0f, which was set after the job was submitted; ' ..
    'clone it with fewer, or retry it under a higher limit'
  return fail(id, 'limit_reached', string.format(why, size, found[2]))
end
local id, queue, state, parted
for _ = 1, 100 do  -- then the next call goes on: Redis answers nobody else meanwhile
  id, queue = next_job()
  if not id then return false end
  state, parted = unpack(redis.call('HMGET', job(id), 'state', 'runs'))
  if state ~= 'queued' and not (parted and state == 'running' and offers(id)) then
    dequeue(id)
    return redis.error_reply('FAULT the queue held ' .. id .. ', which is not queued')
  end
  if not outgrown(id) then break end
  id = nil
end
if not id then return false end
if redis.call('HEXISTS', job(id), 'trace') == 1 then
  redis.call('HSET', job(id), 'waited_from', redis.call('ZSCORE', P .. 'waiting:' .. queue, id) or now())
end
if parted then id = part_of(id, tonumber(ARGV[5]), queue) end
redis.call('HINCRBY', job(id), 'attempt', 1)
move(id, 'running')
redis.call('HSET', job(id), 'worker', ARGV[2], 'token', ARGV[3])
redis.call('HSETNX', job(id), 'started_at', now())
redis.call('HSET', P .. 'claims', ARGV[2], id)
redis.call('SET', own(owner(id), 'served'), redis.call('INCR', P .. 'order'))
redis.call('ZADD', P .. 'leases', now() + ARGV[4], id)
return taken(id)
"""

# how a report of a worker begins: id, token, …
REPORTED = """
local id = ARGV[2]
local standing = held(id, ARGV[3])
if standing ~= 'held' then return {standing, ''} end
"""

# id, token, lease in ms, what the worker does or '', progress or '' -> held | fenced | missing, want. Of the news of
# progress, the last one stays.
BEAT = f"""{REPORTED}
progressed(id, ARGV[6])
return keep(id, ARGV[4], ARGV[5])
"""

# id, token, lease in ms, index, row, best -> held | fenced | missing | gap, want; of a gap, the index that is missing.
# A row whose figures are there already, as when a run is resumed, changes nothing; another one takes the place
# of what an earlier attempt wrote from this epoch on.
RECORD = """
local function figures(text) return (string.gsub(text, '"seconds":[^,}]*', '')) end
local function record(id, index, row)  -- whether it is new; of a gap the index that is missing
  local rows = P .. 'epochs:' .. id
  local there = redis.call('LINDEX', rows, index)
  if there and figures(there) == figures(row) then return false end
  if index == 0 then redis.call('DEL', rows) else redis.call('LTRIM', rows, 0, index - 1) end
  local length = redis.call('LLEN', rows)
  if length ~= index then return false, tostring(length) end
  redis.call('RPUSH', rows, row)
  return true
end
"""
EPOCH = f"""{RECORD}{REPORTED}
local row = ARGV[6]
local new, missing = record(id, tonumber(ARGV[5]), row)
if missing then return {{'gap', missing}} end
if new then
  redis.call('HSET', job(id), 'metrics', row, 'best', ARGV[7])
  say(id, 'epoch', row)
end
return keep(id, ARGV[4])
"""

# id of a shard, token, lease in ms, what the worker does or '', steps of all its runs, then of each report five values:
# 'epoch', run, index, row, best; or 'end', run, state, error or '', how it was trained or '' -> held | fenced | missing
# | gap, want; of a gap, run and index. What a run has come to stays, whatever a worker says that trains it once more.
REPORT = f"""{RECORD}{REPORTED}
local parent = redis.call('HGET', job(id), 'parent')
for i = 7, #ARGV, 5 do
  local what, run = ARGV[i], ARGV[i + 1]
  local state = redis.call('HGET', runs(parent, 'states'), run)
  if ended(state) or state == 'pruned' then  -- it stays so
  elseif what == 'end' then
    if ARGV[i + 4] ~= '' then redis.call('HSET', runs(parent, 'training'), run, ARGV[i + 4]) end
    run_is(parent, run, ARGV[i + 2], ARGV[i + 3] ~= '' and ARGV[i + 3] or nil)
  else
    local row = ARGV[i + 3]
    local new, missing = record(parent .. '/' .. run, tonumber(ARGV[i + 2]), row)
    if missing then return {{'gap', run .. ' ' .. missing}} end
    if new then
      redis.call('HSET', runs(parent, 'metrics'), run, row)
      redis.call('HSET', runs(parent, 'best'), run, ARGV[i + 4])
      say(parent, 'epoch', '{{"run":' .. run .. ',' .. string.sub(row, 2))
    end
  end
end
stepped(id, tonumber(ARGV[6]))
return keep(id, ARGV[4], ARGV[5])
"""

# id of an experiment, index of an epoch -> {run, state, row or false} of each run that has begun
REACHED = """
local id, found = ARGV[2], {}
for run = 0, (redis.call('HGET', job(id), 'next') or 0) - 1 do
  found[run + 1] = {run, redis.call('HGET', runs(id, 'states'), run),
    redis.call('LINDEX', P .. 'epochs:' .. id .. '/' .. run, ARGV[3])}
end
return found
"""

# id of a shard, token, then of each judgement: key, go | stop, first run, how many runs -> held | fenced | missing, the
# verdicts that count: those that were given first. Runs of what is to stop are pruned, whoever has them.
JUDGE = f"""{REPORTED}
local parent, verdicts = redis.call('HGET', job(id), 'parent'), {{}}
for i = 4, #ARGV, 4 do
  redis.call('HSETNX', runs(parent, 'verdicts'), ARGV[i], ARGV[i + 1])
  local verdict = redis.call('HGET', runs(parent, 'verdicts'), ARGV[i])
  table.insert(verdicts, verdict)
  for run = ARGV[i + 2], verdict == 'stop' and ARGV[i + 2] + ARGV[i + 3] - 1 or -1 do
    local state = redis.call('HGET', runs(parent, 'states'), run)
    if not (ended(state) or state == 'pruned') then run_is(parent, run, 'pruned') end
  end
end
return {{'held', table.concat(verdicts, ' ')}}
"""

# id, token, state, error or '', whether another attempt may succeed, result or '' -> held | fenced | missing, the new
# state. The result of a job that succeeded is there as soon as the state is.
FINISH = f"""{REPORTED}
local after, error = ARGV[4], ARGV[5]
if after == 'succeeded' and ARGV[7] ~= '' then redis.call('HSET', job(id), 'result', ARGV[7]) end
local again = after == 'failed' and ARGV[6] == '1' and
  redis.call('HINCRBY', job(id), 'errors', 1) < tonumber(redis.call('HGET', job(id), 'max_attempts'))
if again then tally('retried') end
if again or after == 'queued' then
  release(id, again and error or nil)
else
  move(id, after, error ~= '' and error or nil)
end
return {{'held', redis.call('HGET', job(id), 'state')}}
"""

# id, token, most losses -> held | fenced | missing, ''
LOSE = f"""{REPORTED}
lose(id, tonumber(ARGV[4]), 'stalled')
return {{'held', ''}}
"""

# id, token, stored | checkpoint, bytes -> held | fenced | missing, ''
TAKES = f"""{REPORTED}
takes(id, ARGV[4], tonumber(ARGV[5]))
return {{'held', ''}}
"""

# how a request about a job, by anyone, begins
ASKED = """
local id = ARGV[2]
local state, parent = unpack(redis.call('HMGET', job(id), 'state', 'parent'))
if not state or parent then return 'missing' end
local queue = line(id)
"""

# id -> missing | cancelled | requested | the ended state
CANCEL = f"""{ASKED}
if state == 'running' and not idle(id) then
  redis.call('HSET', job(id), 'want', 'cancel')
  dequeue(id)
  return 'requested'
end
return move(id, 'cancelled') and 'cancelled' or state
"""

# id -> missing | paused | requested | the ended state
PAUSE = f"""{ASKED}
if state == 'running' and not idle(id) then
  if redis.call('HGET', job(id), 'want') == 'cancel' then return 'about to be cancelled' end
  redis.call('HSET', job(id), 'want', 'pause')
  dequeue(id)
  return 'requested'
end
return move(id, 'paused') and 'paused' or state
"""

# id -> missing | queued | running | the ended state
RESUME = f"""{ASKED}
if state == 'running' then
  if redis.call('HGET', job(id), 'want') == 'pause' then
    redis.call('HDEL', job(id), 'want')
    if offers(id) then enqueue(id) end
  end
  return state
end
return move(id, 'queued') and 'queued' or state
"""

# id, priority -> missing | changed | the ended state
PRIORITIZE = f"""{ASKED}
if ended(state) then return state end
redis.call('HSET', job(id), 'priority', ARGV[3])
if redis.call('ZSCORE', queue, id) then enqueue(id) end
return 'changed'
"""

# id, when it ended or '' -> missing | forgotten | the state, if it is not an ended one
FORGET = f"""{ASKED}
if not ended(state) then return state end
if ARGV[3] ~= '' and ARGV[3] ~= redis.call('HGET', job(id), 'finished_at') then return 'missing' end
indexed(id, 'ZREM', ':' .. state)
indexed(id, 'ZREM', '')
redis.call('ZREM', P .. 'finished', id)
takes(id, 'stored', 0)
takes(id, 'checkpoint', 0)  -- of a job that an older process has ended
redis.call('DECRBY', own(owner(id), 'record_bytes'), redis.call('HGET', job(id), 'record_bytes') or 0)
for run = 0, (redis.call('HGET', job(id), 'next') or 0) - 1 do redis.call('DEL', P .. 'epochs:' .. id .. '/' .. run) end
for _, what in ipairs({{'states', 'errors', 'metrics', 'best', 'held', 'returned', 'verdicts', 'training'}}) do
  redis.call('DEL', runs(id, what))
end
redis.call('DEL', job(id), P .. 'epochs:' .. id, P .. 'events:' .. id)
return 'forgotten'
"""

# most losses, prefix of the broker's lists -> ids whose lease had run out
REAP = """
local ids = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now(), 'LIMIT', 0, 100)
for _, id in ipairs(ids) do lose(id, tonumber(ARGV[2]), 'lease') end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', now())) do
  redis.call('ZREM', P .. 'workers', worker)
  redis.call('HDEL', P .. 'claims', worker)
  redis.call('HDEL', P .. 'vitals', worker)
end
for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
  redis.call('ZREMRANGEBYSCORE', P .. 'workers:' .. queue, '-inf', now())
  if redis.call('EXISTS', P .. 'workers:' .. queue, P .. 'queue:' .. queue, P .. 'tenants:' .. queue) == 0 then
    redis.call('SREM', P .. 'queues', queue)
    redis.call('DEL', messages(ARGV[3], queue), P .. 'waiting:' .. queue)
  end
end
return ids
"""

# worker, most losses, most deaths of its process or '' if it did not die of the job, how it ended -> ids that an
# earlier process of this worker had left behind
ABANDON = """
local left = {}
for _, id in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do
  if redis.call('HGET', job(id), 'worker') == ARGV[2] then
    lose(id, tonumber(ARGV[3]), 'restart', tonumber(ARGV[4]), ARGV[5])
    table.insert(left, id)
  end
end
return left
"""

# age in ms, lease in ms -> {id, when it ended} of the job that ended longest ago, if that is longer, or nothing. Until
# the lease has run out it is younger for all others.
STALE = """
local first = redis.call('ZRANGEBYSCORE', P .. 'finished', '-inf', now() - ARGV[2], 'LIMIT', 0, 1)
if #first == 0 then return false end
redis.call('ZADD', P .. 'finished', now() - ARGV[2] + ARGV[3], first[1])
return {first[1], redis.call('HGET', job(first[1]), 'finished_at')}
"""

# worker, time to live in ms, its statistics as JSON or '', its plug-ins, then queues as for `served`
PRESENT = """
redis.call('ZADD', P .. 'workers', now() + ARGV[3], ARGV[2])
if ARGV[4] ~= '' then redis.call('HSET', P .. 'vitals', ARGV[2], ARGV[4]) end
for _, queue in ipairs(served(ARGV[5], 6)) do
  redis.call('ZADD', P .. 'workers:' .. queue, now() + ARGV[3], ARGV[2])
  redis.call('SADD', P .. 'queues', queue)
end
"""

# worker
ABSENT = """
redis.call('ZREM', P .. 'workers', ARGV[2])
redis.call('HDEL', P .. 'claims', ARGV[2])
redis.call('HDEL', P .. 'vitals', ARGV[2])
for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
  redis.call('ZREM', P .. 'workers:' .. queue, ARGV[2])
end
"""

# -> how many workers live
WORKERS = "return redis.call('ZCOUNT', P .. 'workers', now(), '+inf')"

# prefix of the broker's lists -> {queue, waiting jobs, living workers, messages} of each queue
QUEUES = """
local queues = redis.call('SMEMBERS', P .. 'queues')
table.sort(queues)
for i, queue in ipairs(queues) do
  local waiting = redis.call('ZCARD', P .. 'queue:' .. queue)
  for _, tenant in ipairs(redis.call('SMEMBERS', P .. 'tenants:' .. queue)) do
    waiting = waiting + redis.call('ZCARD', own(tenant, 'queue:' .. queue))
  end
  queues[i] = {queue, waiting,
    redis.call('ZCOUNT', P .. 'workers:' .. queue, now(), '+inf'), redis.call('LLEN', messages(ARGV[2], queue))}
end
return queues
"""

# -> the time in ms; what was counted; {state, jobs, experiments} of each state, over all tenants; {queue, ms since its
# oldest job began to wait or -1}; {worker, its statistics} of each that lives
SERVICE_STATS = f"""
-- an entry whose job does not wait is of an older process, which knows nothing of these
local function age(queue)
  for _ = 1, 100 do
    local id, since = unpack(redis.call('ZRANGE', P .. 'waiting:' .. queue, 0, 0, 'WITHSCORES'))
    if not id then return -1 end
    if redis.call('EXISTS', job(id)) == 1 and redis.call('ZSCORE', line(id), id) then return now() - since end
    redis.call('ZREM', P .. 'waiting:' .. queue, id)
  end
  return -1
end
local states, tenants = {{{", ".join(f"'{state}'" for state in MOVES)}}}, redis.call('SMEMBERS', P .. 'tenants')
table.insert(tenants, 'default')
for i, state in ipairs(states) do
  local jobs, experiments = 0, 0
  for _, tenant in ipairs(tenants) do
    jobs = jobs + redis.call('ZCARD', own(tenant, 'jobs:' .. state))
    experiments = experiments + redis.call('ZCARD', own(tenant, 'experiments:' .. state))
  end
  states[i] = {{state, jobs, experiments}}
end
local ages = {{}}
for i, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do ages[i] = {{queue, age(queue)}} end
local living = {{}}
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', now(), '+inf')) do
  living[worker] = true
end
local stats, known = {{}}, redis.call('HGETALL', P .. 'vitals')
for i = 1, #known, 2 do
  if living[known[i]] then table.insert(stats, {{known[i], known[i + 1]}}) end
end
return {{now(), redis.call('HGETALL', P .. 'counters'), states, ages, stats}}
"""

# a write that leaves nothing behind: where Redis takes none, it fails as that of a new job would
PROBE = """
redis.call('SET', P .. 'probe', 1)
redis.call('DEL', P .. 'probe')
"""
