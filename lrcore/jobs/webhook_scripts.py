"""The webhook store's writes, each one Lua script, by the rules of `scripts`; the keys are documented in `webhooks`."""

from __future__ import annotations

from lrcore.jobs import scripts

MOST_WEBHOOKS = 100  # of a tenant
MOST_OF_ALL = 1000  # every event is held against each of them
MOST_WAITING = 10_000  # deliveries of one endpoint: beyond that, a new one fails at once
MOST_KEPT = 1000  # ended deliveries of one endpoint
KEPT_MS = 7 * 24 * 3600 * 1000
MOST_ATTEMPTS_KEPT = 50  # of one delivery: it can be asked for again and again
OVERLAP_MS = 24 * 3600 * 1000  # how long a replaced secret goes on signing

COMMON = (
    f"local MOST_WAITING, MOST_KEPT, KEPT, MOST_ATTEMPTS = "
    f"{MOST_WAITING}, {MOST_KEPT}, {KEPT_MS}, {MOST_ATTEMPTS_KEPT}\n"
    """
local function webhook(endpoint) return P .. 'webhook:' .. endpoint end
local function delivery(id) return P .. 'delivery:' .. id end
local function attempts(id) return P .. 'attempts:' .. id end
local function log(endpoint) return P .. 'webhook-log:' .. endpoint end
local function over(endpoint) return P .. 'webhook-over:' .. endpoint end
local function due(endpoint) return P .. 'webhook-due:' .. endpoint end
local function sending(endpoint) return P .. 'webhook-sending:' .. endpoint end
local function lane(endpoint, subject) return P .. 'webhook-lane:' .. endpoint .. ':' .. subject end
local function enabled(endpoint) return redis.call('HGET', webhook(endpoint), 'enabled') == '1' end
local function drop(endpoint, id)
  redis.call('DEL', delivery(id), attempts(id))
  for _, index in ipairs({log, over, due, sending}) do redis.call('ZREM', index(endpoint), id) end
end
local function conclude(endpoint, id, state)
  redis.call('HSET', delivery(id), 'state', state)
  redis.call('ZADD', over(endpoint), now(), id)
end
-- ended deliveries that are too old or too many; some at a time
local function prune(endpoint)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', over(endpoint), '-inf', now() - KEPT, 'LIMIT', 0, 100)) do
    drop(endpoint, id)
  end
  local surplus = math.min(redis.call('ZCARD', over(endpoint)) - MOST_KEPT, 100)
  if surplus > 0 then
    for _, id in ipairs(redis.call('ZRANGE', over(endpoint), 0, surplus - 1)) do drop(endpoint, id) end
  end
end
-- a new delivery; those of one job wait for each other, so that they go out in order
local function make(endpoint, event, at, fields)
  local order = redis.call('INCR', P .. 'delivery-order') % 1000000
  local id = string.format('%013d%06d', now(), order) .. string.sub(endpoint, -12)
  local waiting = redis.call('ZCARD', log(endpoint)) - redis.call('ZCARD', over(endpoint))
  redis.call('HSET', delivery(id), 'id', id, 'webhook', endpoint, 'event', event, 'at', at,
    'state', 'pending', 'failures', 0, 'claims', 0, unpack(fields))
  redis.call('ZADD', log(endpoint), 0, id)
  if waiting >= MOST_WAITING then
    redis.call('RPUSH', attempts(id), cjson.encode({
      at = now(), error = 'not sent: ' .. waiting .. ' deliveries wait already', milliseconds = 0}))
    conclude(endpoint, id, 'failed')
    tally('webhooks:dropped')
    return id
  end
  local subject = redis.call('HGET', delivery(id), 'job')
  if not subject or redis.call('RPUSH', lane(endpoint, subject), id) == 1 then
    redis.call('ZADD', due(endpoint), now(), id)
  end
  return id
end
-- the next delivery of the same job may go
local function follow(endpoint, id)
  local subject = redis.call('HGET', delivery(id), 'job')
  if not subject or redis.call('LINDEX', lane(endpoint, subject), 0) ~= id then return end
  redis.call('LPOP', lane(endpoint, subject))
  local next = redis.call('LINDEX', lane(endpoint, subject), 0)
  if next then redis.call('ZADD', due(endpoint), now(), next) end
end
"""
)

# id, tenant, fields and values -> 1, or 0 if there are as many endpoints as there may be
REGISTER = f"""
if redis.call('EXISTS', webhook(ARGV[2])) == 1 then return 1 end  -- by this very call, whose answer got lost
local all, own_ones = redis.call('ZRANGE', P .. 'webhooks', 0, -1), 0
for _, endpoint in ipairs(all) do
  if redis.call('HGET', webhook(endpoint), 'tenant') == ARGV[3] then own_ones = own_ones + 1 end
end
if own_ones >= {MOST_WEBHOOKS} or #all >= {MOST_OF_ALL} then return 0 end
redis.call('ZADD', P .. 'webhooks', 0, ARGV[2])
redis.call('HSET', webhook(ARGV[2]), 'id', ARGV[2], 'tenant', ARGV[3], 'created_at', now(), unpack(ARGV, 4))
return 1
"""

# id, fields and values -> 1, or 0 if there is no such endpoint
CHANGE = """
if redis.call('EXISTS', webhook(ARGV[2])) == 0 then return 0 end
redis.call('HSET', webhook(ARGV[2]), unpack(ARGV, 3))
return 1
"""

# id, secret -> 1, or 0 if there is no such endpoint
ROTATE = f"""
local old = redis.call('HGET', webhook(ARGV[2]), 'secret')
if not old then return 0 end
if old == ARGV[3] then return 1 end  -- by this very call, whose answer got lost
redis.call('HSET', webhook(ARGV[2]), 'secret', ARGV[3], 'old_secret', old, 'old_until', now() + {OVERLAP_MS})
return 1
"""

# id -> 1, or 0 if there is no such endpoint
REMOVE = """
local endpoint = ARGV[2]
if redis.call('ZREM', P .. 'webhooks', endpoint) == 0 then return 0 end
for _, id in ipairs(redis.call('ZRANGE', log(endpoint), 0, -1)) do
  local subject = redis.call('HGET', delivery(id), 'job')
  if subject then redis.call('DEL', lane(endpoint, subject)) end
  redis.call('DEL', delivery(id), attempts(id))
end
redis.call('DEL', webhook(endpoint), log(endpoint), over(endpoint), due(endpoint), sending(endpoint))
return 1
"""

# id of an endpoint -> missing | disabled | the id of a delivery of webhook.test
TEST = """
if redis.call('EXISTS', webhook(ARGV[2])) == 0 then return 'missing' end
if not enabled(ARGV[2]) then return 'disabled' end
return make(ARGV[2], 'webhook.test', now(), {})
"""

# id of an endpoint, id of a delivery -> missing | disabled | the id of the delivery
REDELIVER = """
local endpoint, id = ARGV[2], ARGV[3]
local state = redis.call('HGET', delivery(id), 'state')
if redis.call('HGET', delivery(id), 'webhook') ~= endpoint then return 'missing' end
if not enabled(endpoint) then return 'disabled' end
if state ~= 'pending' then
  redis.call('HSET', delivery(id), 'state', 'pending', 'failures', 0)
  redis.call('ZREM', over(endpoint), id)
  redis.call('ZADD', due(endpoint), now(), id)
elseif redis.call('ZSCORE', due(endpoint), id) then
  redis.call('ZADD', due(endpoint), now(), id)
end
return id
"""

# most events -> how many events were turned into deliveries, one for each endpoint that wants them
FAN_OUT = """
local entries = redis.call('XRANGE', P .. 'outbox', '-', '+', 'COUNT', ARGV[2])
if #entries == 0 then return 0 end
local endpoints = {}
for _, endpoint in ipairs(redis.call('ZRANGE', P .. 'webhooks', 0, -1)) do
  local record = redis.call('HMGET', webhook(endpoint), 'events', 'label', 'created_at', 'tenant')
  if enabled(endpoint) then
    local events = {}
    for _, event in ipairs(cjson.decode(record[1])) do events[event] = true end
    table.insert(endpoints, {id = endpoint, events = events, label = record[2], since = tonumber(record[3]),
      tenant = record[4]})
  end
end
for _, entry in ipairs(entries) do
  local at, fields = tonumber(string.match(entry[1], '%d+')), {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  local event, labelled = 'job.' .. fields.job_state, {[''] = true}
  for _, label in ipairs(cjson.decode(fields.labels)) do labelled[label] = true end
  for _, endpoint in ipairs(endpoints) do
    local wanted = endpoint.events[event] and labelled[endpoint.label] and at >= endpoint.since
    if wanted and endpoint.tenant == fields.tenant then
      make(endpoint.id, event, at, entry[2])
    end
  end
  redis.call('XDEL', P .. 'outbox', entry[1])
end
return #entries
"""

# most deliveries, most in flight to one endpoint, lease in ms, the endpoint to begin with, most of one tenant, and
# tenants with how many of theirs the taker has -> the time, and for each delivery taken its record and its endpoint's.
# A delivery whose lease ran out, since its process is gone, is due again.
TAKE = """
local endpoints, taken, held = redis.call('ZRANGE', P .. 'webhooks', 0, -1), {}, {}
for i = 7, #ARGV, 2 do held[ARGV[i]] = tonumber(ARGV[i + 1]) end
for i = 1, #endpoints do
  local endpoint = endpoints[(i + ARGV[5]) % #endpoints + 1]
  prune(endpoint)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', sending(endpoint), '-inf', now())) do
    redis.call('ZREM', sending(endpoint), id)
    redis.call('ZADD', due(endpoint), now(), id)
  end
  local tenant = redis.call('HGET', webhook(endpoint), 'tenant') or 'default'
  held[tenant] = held[tenant] or 0
  local room = math.min(ARGV[2] - #taken, ARGV[3] - redis.call('ZCARD', sending(endpoint)), ARGV[6] - held[tenant])
  if room > 0 and enabled(endpoint) then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', due(endpoint), '-inf', now(), 'LIMIT', 0, room)) do
      redis.call('ZREM', due(endpoint), id)
      redis.call('ZADD', sending(endpoint), now() + ARGV[4], id)
      redis.call('HINCRBY', delivery(id), 'claims', 1)
      table.insert(taken, {redis.call('HGETALL', delivery(id)), redis.call('HGETALL', webhook(endpoint))})
      held[tenant] = held[tenant] + 1
    end
  end
end
return {now(), taken}
"""

# id, claim, attempt as JSON, delivered | failed | gone | retry, delay in ms -> 1, or 0 if the lease has run out
SETTLE = """
local id, outcome = ARGV[2], ARGV[5]
local endpoint, claims = unpack(redis.call('HMGET', delivery(id), 'webhook', 'claims'))
if claims ~= ARGV[3] or redis.call('ZREM', sending(endpoint), id) == 0 then return 0 end
redis.call('RPUSH', attempts(id), ARGV[4])
redis.call('LTRIM', attempts(id), -MOST_ATTEMPTS, -1)
tally('webhooks:' .. outcome)
if outcome == 'retry' then
  redis.call('HINCRBY', delivery(id), 'failures', 1)
  redis.call('ZADD', due(endpoint), now() + ARGV[6], id)
else
  conclude(endpoint, id, outcome == 'delivered' and 'delivered' or 'failed')
end
if outcome == 'gone' then
  redis.call('HSET', webhook(endpoint), 'enabled', '0', 'disabled_reason', 'it answered 410 Gone')
end
follow(endpoint, id)
return 1
"""

# -> how many deliveries wait, and ms since the first of them was due, or 0 if none is
WAITING = """
local waiting, late = redis.call('XLEN', P .. 'outbox'), 0
for _, endpoint in ipairs(redis.call('ZRANGE', P .. 'webhooks', 0, -1)) do
  waiting = waiting + redis.call('ZCARD', log(endpoint)) - redis.call('ZCARD', over(endpoint))
  local first = redis.call('ZRANGE', due(endpoint), 0, 0, 'WITHSCORES')
  if first[2] and enabled(endpoint) then late = math.max(late, now() - first[2]) end
end
return {waiting, late}
"""


def whole(script: str) -> str:
    """One of the scripts above with what it stands on."""
    return scripts.COMMON + COMMON + script
