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
local function say(id, kind, data)
  redis.call('XADD', P .. 'events:' .. id, 'MAXLEN', '~', 10000, '*', 'type', kind, 'data', data)
end
local function labels(id)
  return cjson.decode(redis.call('HGET', job(id), 'labels') or '[]')
end
-- the indexes of jobs in a state, by which they are listed
local function indexed(id, command, state)
  local rank = command == 'ZADD' and {0, id} or {id}
  redis.call(command, P .. 'jobs:' .. state, unpack(rank))
  for _, label in ipairs(labels(id)) do
    redis.call(command, P .. 'label:' .. label .. ':' .. state, unpack(rank))
  end
end
-- a higher priority goes first, then the job that came first; a job that comes back has its old place
local function enqueue(id)
  local record = redis.call('HMGET', job(id), 'queue', 'order', 'priority')
  redis.call('ZADD', P .. 'queue:' .. record[1], record[2] - (record[3] or 0) * 1e12, id)
end
local function ended(state)
  return state == 'succeeded' or state == 'failed' or state == 'cancelled'
end
-- the one place that changes a state
local function move(id, after)
  local before = redis.call('HGET', job(id), 'state')
  if not before or not LEGAL[before .. '>' .. after] then return false end
  redis.call('HSET', job(id), 'state', after)
  indexed(id, 'ZREM', before)
  indexed(id, 'ZADD', after)
  redis.call('ZREM', P .. 'leases', id)
  redis.call('ZREM', P .. 'queue:' .. redis.call('HGET', job(id), 'queue'), id)
  if after == 'queued' then enqueue(id) end
  if after == 'queued' or after == 'paused' then redis.call('HDEL', job(id), 'token', 'worker', 'want') end
  if ended(after) then
    redis.call('HSET', job(id), 'finished_at', now())
    redis.call('HDEL', job(id), 'token', 'worker')
  end
  local attempt = redis.call('HGET', job(id), 'attempt')
  say(id, 'state', cjson.encode({state = after, attempt = tonumber(attempt)}))
  if ended(after) then say(id, 'end', cjson.encode({state = after})) end
  return true
end
-- whether the writer still holds the job
local function held(id, token)
  local record = redis.call('HMGET', job(id), 'state', 'token')
  if not record[1] then return 'missing' end
  if record[1] ~= 'running' or record[2] ~= token then return 'fenced' end
  return 'held'
end
-- a running job whose worker is gone
local function lose(id, most)
  if redis.call('HGET', job(id), 'state') ~= 'running' then
    redis.call('ZREM', P .. 'leases', id)
    return
  end
  local want = redis.call('HGET', job(id), 'want')
  if want == 'cancel' then return move(id, 'cancelled') end
  if want == 'pause' then return move(id, 'paused') end
  local losses = redis.call('HINCRBY', job(id), 'losses', 1)
  if losses > most then
    redis.call('HSET', job(id), 'error', cjson.encode({
      type = 'worker_lost', message = losses .. ' workers were lost while they ran this job'}))
    return move(id, 'failed')
  end
  move(id, 'queued')
end
"""
)

# id, kind, spec, queue, progress, labels as JSON, priority, key of the request or '', its content -> the id of the job
# that the request has made, now or before; '' if the key was used for another one
CREATE = """
local id = ARGV[2]
if ARGV[9] ~= '' then
  local made = redis.call('HMGET', P .. 'request:' .. ARGV[9], 'id', 'content')
  if made[1] and redis.call('EXISTS', job(made[1])) == 1 then return made[2] == ARGV[10] and made[1] or '' end
  redis.call('HSET', P .. 'request:' .. ARGV[9], 'id', id, 'content', ARGV[10])
  redis.call('EXPIRE', P .. 'request:' .. ARGV[9], 86400)
end
redis.call('HSET', job(id), 'id', id, 'kind', ARGV[3], 'spec', ARGV[4], 'queue', ARGV[5], 'progress', ARGV[6],
  'labels', ARGV[7], 'priority', ARGV[8],
  'state', 'queued', 'attempt', 0, 'losses', 0, 'created_at', now(), 'order', redis.call('INCR', P .. 'order'))
redis.call('ZADD', P .. 'jobs', 0, id)
for _, label in ipairs(labels(id)) do redis.call('ZADD', P .. 'label:' .. label, 0, id) end
indexed(id, 'ZADD', 'queued')
enqueue(id)
say(id, 'state', cjson.encode({state = 'queued', attempt = 0}))
return id
"""

# queue, worker, token, lease in ms -> {id, spec, attempt} or nothing
CLAIM = """
local best = redis.call('ZRANGE', P .. 'queue:' .. ARGV[2], 0, 0)
if #best == 0 then return false end
local id = best[1]
redis.call('HINCRBY', job(id), 'attempt', 1)
if not move(id, 'running') then
  redis.call('ZREM', P .. 'queue:' .. ARGV[2], id)
  return redis.error_reply('FAULT the queue held ' .. id .. ', which is not queued')
end
redis.call('HSET', job(id), 'worker', ARGV[3], 'token', ARGV[4])
redis.call('HSETNX', job(id), 'started_at', now())
redis.call('ZADD', P .. 'leases', now() + ARGV[5], id)
return {id, redis.call('HGET', job(id), 'spec'), redis.call('HGET', job(id), 'attempt')}
"""

# id, token, lease in ms, progress or '' -> held | fenced | missing, want
BEAT = """
local id = ARGV[2]
local standing = held(id, ARGV[3])
if standing ~= 'held' then return {standing, ''} end
redis.call('ZADD', P .. 'leases', now() + ARGV[4], id)
if ARGV[5] ~= '' and redis.call('HGET', job(id), 'progress') ~= ARGV[5] then
  redis.call('HSET', job(id), 'progress', ARGV[5])
  say(id, 'progress', ARGV[5])
end
return {'held', redis.call('HGET', job(id), 'want') or ''}
"""

# id, token, lease in ms, index, row, best -> held | fenced | missing, want. The row takes the place of what an
# earlier attempt wrote from this epoch on; one that is there already, as when a run is taken up again, changes nothing.
EPOCH = """
local id, index = ARGV[2], tonumber(ARGV[5])
local standing = held(id, ARGV[3])
if standing ~= 'held' then return {standing, ''} end
local rows = P .. 'epochs:' .. id
if redis.call('LINDEX', rows, index) == ARGV[6] then
  redis.call('ZADD', P .. 'leases', now() + ARGV[4], id)
  return {'held', redis.call('HGET', job(id), 'want') or ''}
end
if index == 0 then redis.call('DEL', rows) else redis.call('LTRIM', rows, 0, index - 1) end
if redis.call('LLEN', rows) ~= index then return redis.error_reply('FAULT epoch ' .. index .. ' follows a gap') end
redis.call('RPUSH', rows, ARGV[6])
redis.call('HSET', job(id), 'metrics', ARGV[6], 'best', ARGV[7])
redis.call('ZADD', P .. 'leases', now() + ARGV[4], id)
say(id, 'epoch', ARGV[6])
return {'held', redis.call('HGET', job(id), 'want') or ''}
"""

# id, token, state, error or '' -> held | fenced | missing, ''
FINISH = """
local id, after = ARGV[2], ARGV[4]
local standing = held(id, ARGV[3])
if standing ~= 'held' then return {standing, ''} end
if ARGV[5] ~= '' then redis.call('HSET', job(id), 'error', ARGV[5]) end
local want = redis.call('HGET', job(id), 'want')
if after == 'queued' or after == 'paused' then
  after = want == 'cancel' and 'cancelled' or want == 'pause' and 'paused' or 'queued'
end
move(id, after)
return {'held', ''}
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

# id -> missing | forgotten | the state, if it is not an ended one
FORGET = f"""{ASKED}
if not ended(state) then return state end
indexed(id, 'ZREM', state)
redis.call('ZREM', P .. 'jobs', id)
for _, label in ipairs(labels(id)) do redis.call('ZREM', P .. 'label:' .. label, id) end
redis.call('DEL', job(id), P .. 'epochs:' .. id, P .. 'events:' .. id)
return 'forgotten'
"""

# most losses -> ids whose lease had run out
REAP = """
local ids = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now(), 'LIMIT', 0, 100)
for _, id in ipairs(ids) do lose(id, tonumber(ARGV[2])) end
redis.call('ZREMRANGEBYSCORE', P .. 'workers', '-inf', now())
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

# worker, time to live in ms
PRESENT = "redis.call('ZADD', P .. 'workers', now() + ARGV[3], ARGV[2])"

# -> how many workers live
WORKERS = "return redis.call('ZCOUNT', P .. 'workers', now(), '+inf')"
