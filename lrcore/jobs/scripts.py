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
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
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
  redis.call('XADD', P .. 'outbox', 'MAXLEN', '~', 10000, '*', 'job', id, 'job_state', state, 'kind', record[1],
    'attempt', record[2], 'labels', record[3], 'error', error or 'null')
end
local function labels(id)
  return cjson.decode(redis.call('HGET', job(id), 'labels') or '[]')
end
-- the indexes by which jobs are listed: `suffix` is empty, or a colon and a state
local function indexed(id, command, suffix)
  local entry = command == 'ZADD' and {redis.call('HGET', job(id), 'order'), id} or {id}
  redis.call(command, P .. 'jobs' .. suffix, unpack(entry))
  for _, label in ipairs(labels(id)) do
    redis.call(command, P .. 'label:' .. label .. suffix, unpack(entry))
  end
end
-- a higher priority goes first, then the job that came first; a job that comes back has its old place
local function enqueue(id)
  local record = redis.call('HMGET', job(id), 'queue', 'order', 'priority')
  redis.call('ZADD', P .. 'queue:' .. record[1], record[2] - record[3] * 1e12, id)
end
local function ended(state)
  return state == 'succeeded' or state == 'failed' or state == 'cancelled'
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
-- the one place that changes a state. An error goes with the news, also where the job is tried again.
local function move(id, after, error)
  local record = redis.call('HMGET', job(id), 'state', 'queue', 'attempt')
  local before, queue = record[1], record[2]
  if not before or not LEGAL[before .. '>' .. after] then return false end
  if before == 'running' then redis.call('HSET', job(id), 'ran', ran(id)) end
  redis.call('HDEL', job(id), 'claimed_at')
  redis.call('HSET', job(id), 'state', after)
  indexed(id, 'ZREM', ':' .. before)
  indexed(id, 'ZADD', ':' .. after)
  redis.call('ZREM', P .. 'leases', id)
  redis.call('ZREM', P .. 'queue:' .. queue, id)
  if after == 'queued' then enqueue(id) end
  if after ~= 'running' then redis.call('HDEL', job(id), 'token', 'worker', 'want') end
  if after == 'running' then redis.call('HSET', job(id), 'claimed_at', now()) end
  if after == 'succeeded' then pace(id, queue) end
  if ended(after) then
    redis.call('HSET', job(id), 'finished_at', now())
    redis.call('ZADD', P .. 'finished', now(), id)
  end
  if after == 'failed' and error then redis.call('HSET', job(id), 'error', error) end
  local news = {state = after, attempt = tonumber(record[3])}
  if error then news.error = cjson.decode(error) end
  say(id, 'state', cjson.encode(news))
  if ended(after) then say(id, 'end', cjson.encode({state = after})) end
  announce(id, after, error)
  return true
end
-- whether the writer still holds the job
local function held(id, token)
  local record = redis.call('HMGET', job(id), 'state', 'token')
  if not record[1] then return 'missing' end
  if record[1] ~= 'running' or record[2] ~= token then return 'fenced' end
  return 'held'
end
-- keep the lease; what is wanted of the job
local function keep(id, lease)
  redis.call('ZADD', P .. 'leases', now() + lease, id)
  return {'held', redis.call('HGET', job(id), 'want') or over(id) and 'expire' or ''}
end
local function fail(id, kind, message)
  return move(id, 'failed', cjson.encode({type = kind, message = message}))
end
-- a running job that is not trained any more goes where it is wanted
local function release(id, error)
  local want = redis.call('HGET', job(id), 'want')
  if want == 'cancel' then return move(id, 'cancelled') end
  if want == 'pause' then return move(id, 'paused') end
  if over(id) then return fail(id, 'timeout', 'it has run longer than its max_seconds') end
  return move(id, 'queued', error)
end
-- a running job whose worker is gone
local function lose(id, most)
  if redis.call('HGET', job(id), 'state') ~= 'running' then
    redis.call('ZREM', P .. 'leases', id)
    return
  end
  local losses = redis.call('HINCRBY', job(id), 'losses', 1)
  if losses > most and not redis.call('HGET', job(id), 'want') then
    return fail(id, 'worker_lost', losses .. ' workers were lost while they ran this job')
  end
  release(id)
end
-- all that a reader sees of a job: fields and values, place in its queue, workers of the queue, ms a job takes there
local function view(id)
  local record = redis.call('HGETALL', job(id))
  if #record == 0 then return false end
  local state, queue = unpack(redis.call('HMGET', job(id), 'state', 'queue'))
  if state ~= 'queued' then return {record} end
  return {record, redis.call('ZRANK', P .. 'queue:' .. queue, id),
    redis.call('ZCOUNT', P .. 'workers:' .. queue, now(), '+inf'), redis.call('HGET', P .. 'pace', queue)}
end
"""
)

# id, whether it was chosen by the client, key of the request or '', its content, then fields and values of the record
# -> made | there | taken | reused, view. There: this very request has made the job before. Taken: another has, under
# this id. Reused: the key was used for another one.
CREATE = """
local id, key, content = ARGV[2], P .. 'request:' .. ARGV[4], ARGV[5]
if redis.call('EXISTS', job(id)) == 1 then
  if ARGV[3] == '0' then return {'made', view(id)} end  -- by this very call, whose answer got lost
  return redis.call('HGET', job(id), 'content') == content and {'there', view(id)} or {'taken'}
end
if ARGV[4] ~= '' then
  local made = redis.call('HMGET', key, 'id', 'content')
  if made[1] and redis.call('EXISTS', job(made[1])) == 1 then
    return made[2] == content and {'there', view(made[1])} or {'reused'}
  end
  redis.call('HSET', key, 'id', id, 'content', content)
  redis.call('EXPIRE', key, 86400)
end
redis.call('HSET', job(id), 'id', id, 'state', 'queued', 'attempt', 0, 'losses', 0, 'errors', 0,
  'created_at', now(), 'order', redis.call('INCR', P .. 'order'), unpack(ARGV, 6))
if ARGV[3] == '1' then redis.call('HSET', job(id), 'content', content) end
redis.call('SADD', P .. 'queues', redis.call('HGET', job(id), 'queue'))
indexed(id, 'ZADD', '')
indexed(id, 'ZADD', ':queued')
enqueue(id)
say(id, 'state', cjson.encode({state = 'queued', attempt = 0}))
announce(id, 'queued')
return {'made', view(id)}
"""

# id -> view or nothing
READ = "return view(ARGV[2])"

# index, cursor or +inf, how many -> {order, view} of each, newest first
PAGE = """
local found = {}
local ids = redis.call('ZRANGE', P .. ARGV[2], '(' .. ARGV[3], '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[4])
for i, id in ipairs(ids) do found[i] = {redis.call('HGET', job(id), 'order'), view(id)} end
return found
"""

# worker, token, lease in ms, then queues -> {id, spec, attempt, queue, kind} of the best job of them all, or nothing
CLAIM = """
local function taken(id) return redis.call('HMGET', job(id), 'id', 'spec', 'attempt', 'queue', 'kind') end
-- a call whose answer got lost comes a second time
local last = redis.call('HGET', P .. 'claims', ARGV[2])
if last and redis.call('HGET', job(last), 'token') == ARGV[3] then return taken(last) end
local id, score, queue
for i = 5, #ARGV do
  local first = redis.call('ZRANGE', P .. 'queue:' .. ARGV[i], 0, 0, 'WITHSCORES')
  if first[1] and (not id or tonumber(first[2]) < score) then
    id, score, queue = first[1], tonumber(first[2]), ARGV[i]
  end
end
if not id then return false end
if redis.call('HGET', job(id), 'state') ~= 'queued' then
  redis.call('ZREM', P .. 'queue:' .. queue, id)
  return redis.error_reply('FAULT the queue held ' .. id .. ', which is not queued')
end
redis.call('HINCRBY', job(id), 'attempt', 1)
move(id, 'running')
redis.call('HSET', job(id), 'worker', ARGV[2], 'token', ARGV[3])
redis.call('HSETNX', job(id), 'started_at', now())
redis.call('HSET', P .. 'claims', ARGV[2], id)
redis.call('ZADD', P .. 'leases', now() + ARGV[4], id)
return taken(id)
"""

# how a report of a worker begins: id, token, …
REPORTED = """
local id = ARGV[2]
local standing = held(id, ARGV[3])
if standing ~= 'held' then return {standing, ''} end
"""

# id, token, lease in ms, progress or '' -> held | fenced | missing, want. Of the news of progress, the last one stays.
BEAT = f"""{REPORTED}
if ARGV[5] ~= '' and redis.call('HGET', job(id), 'progress') ~= ARGV[5] then
  local before = redis.call('HGET', job(id), 'news')
  if before then redis.call('XDEL', P .. 'events:' .. id, before) end
  redis.call('HSET', job(id), 'progress', ARGV[5], 'news', say(id, 'progress', ARGV[5]))
end
return keep(id, ARGV[4])
"""

# id, token, lease in ms, index, row, best -> held | fenced | missing | gap, want; of a gap, the index that is missing.
# A row whose figures are there already, as when a run is taken up again, changes nothing; another one takes the place
# of what an earlier attempt wrote from this epoch on.
EPOCH = f"""{REPORTED}
local index, row, rows = tonumber(ARGV[5]), ARGV[6], P .. 'epochs:' .. id
local function figures(text) return (string.gsub(text, '"seconds":[^,}}]*', '')) end
local there = redis.call('LINDEX', rows, index)
if there and figures(there) == figures(row) then return keep(id, ARGV[4]) end
if index == 0 then redis.call('DEL', rows) else redis.call('LTRIM', rows, 0, index - 1) end
local length = redis.call('LLEN', rows)
if length ~= index then return {{'gap', tostring(length)}} end
redis.call('RPUSH', rows, row)
redis.call('HSET', job(id), 'metrics', row, 'best', ARGV[7])
say(id, 'epoch', row)
return keep(id, ARGV[4])
"""

# id, token, state, error or '', whether another attempt may succeed, result or '' -> held | fenced | missing, the new
# state. The result of a job that succeeded is there as soon as the state is.
FINISH = f"""{REPORTED}
local after, error = ARGV[4], ARGV[5]
if after == 'succeeded' and ARGV[7] ~= '' then redis.call('HSET', job(id), 'result', ARGV[7]) end
local again = after == 'failed' and ARGV[6] == '1' and
  redis.call('HINCRBY', job(id), 'errors', 1) < tonumber(redis.call('HGET', job(id), 'max_attempts'))
if again or after == 'queued' then
  release(id, again and error or nil)
else
  move(id, after, error ~= '' and error or nil)
end
return {{'held', redis.call('HGET', job(id), 'state')}}
"""

# id, token, most losses -> held | fenced | missing, ''
LOSE = f"""{REPORTED}
lose(id, tonumber(ARGV[4]))
return {{'held', ''}}
"""

# how a request about a job, by anyone, begins
ASKED = """
local id = ARGV[2]
local state = redis.call('HGET', job(id), 'state')
if not state then return 'missing' end
"""

# id -> missing | cancelled | requested | the ended state
CANCEL = f"""{ASKED}
if state == 'running' then
  redis.call('HSET', job(id), 'want', 'cancel')
  return 'requested'
end
return move(id, 'cancelled') and 'cancelled' or state
"""

# id -> missing | paused | requested | the ended state
PAUSE = f"""{ASKED}
if state == 'running' then
  if redis.call('HGET', job(id), 'want') == 'cancel' then return 'about to be cancelled' end
  redis.call('HSET', job(id), 'want', 'pause')
  return 'requested'
end
return move(id, 'paused') and 'paused' or state
"""

# id -> missing | queued | running | the ended state
RESUME = f"""{ASKED}
if state == 'running' then
  if redis.call('HGET', job(id), 'want') == 'pause' then redis.call('HDEL', job(id), 'want') end
  return state
end
return move(id, 'queued') and 'queued' or state
"""

# id, priority -> missing | changed | the ended state
PRIORITIZE = f"""{ASKED}
if ended(state) then return state end
redis.call('HSET', job(id), 'priority', ARGV[3])
if state == 'queued' then enqueue(id) end
return 'changed'
"""

# id, when it ended or '' -> missing | forgotten | the state, if it is not an ended one
FORGET = f"""{ASKED}
if not ended(state) then return state end
if ARGV[3] ~= '' and ARGV[3] ~= redis.call('HGET', job(id), 'finished_at') then return 'missing' end
indexed(id, 'ZREM', ':' .. state)
indexed(id, 'ZREM', '')
redis.call('ZREM', P .. 'finished', id)
redis.call('DEL', job(id), P .. 'epochs:' .. id, P .. 'events:' .. id)
return 'forgotten'
"""

# most losses, prefix of the broker's lists -> ids whose lease had run out
REAP = """
local ids = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now(), 'LIMIT', 0, 100)
for _, id in ipairs(ids) do lose(id, tonumber(ARGV[2])) end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', now())) do
  redis.call('ZREM', P .. 'workers', worker)
  redis.call('HDEL', P .. 'claims', worker)
end
for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
  redis.call('ZREMRANGEBYSCORE', P .. 'workers:' .. queue, '-inf', now())
  if redis.call('EXISTS', P .. 'workers:' .. queue, P .. 'queue:' .. queue) == 0 then
    redis.call('SREM', P .. 'queues', queue)
    redis.call('DEL', ARGV[3] .. queue)
  end
end
return ids
"""

# worker, most losses -> ids that an earlier process of this worker had left behind
ABANDON = """
local left = {}
for _, id in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do
  if redis.call('HGET', job(id), 'worker') == ARGV[2] then
    lose(id, tonumber(ARGV[3]))
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

# worker, time to live in ms, then the queues that it serves
PRESENT = """
redis.call('ZADD', P .. 'workers', now() + ARGV[3], ARGV[2])
for i = 4, #ARGV do
  redis.call('ZADD', P .. 'workers:' .. ARGV[i], now() + ARGV[3], ARGV[2])
  redis.call('SADD', P .. 'queues', ARGV[i])
end
"""

# worker
ABSENT = """
redis.call('ZREM', P .. 'workers', ARGV[2])
redis.call('HDEL', P .. 'claims', ARGV[2])
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
  queues[i] = {queue, redis.call('ZCARD', P .. 'queue:' .. queue),
    redis.call('ZCOUNT', P .. 'workers:' .. queue, now(), '+inf'), redis.call('LLEN', ARGV[2] .. queue)}
end
return queues
"""
