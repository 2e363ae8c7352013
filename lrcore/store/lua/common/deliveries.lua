-- Endpoints of webhooks and the deliveries that are on their way to them; lrcore.webhooks.endpoints documents the keys.
--@include keys
--@include clock
--@include counters
local function webhook(endpoint) return P .. 'webhook:' .. endpoint end
local function delivery(id) return P .. 'delivery:' .. id end
local function attempts(id) return P .. 'attempts:' .. id end
local function log(endpoint) return P .. 'webhook-log:' .. endpoint end
local function over(endpoint) return P .. 'webhook-over:' .. endpoint end
local function due(endpoint) return P .. 'webhook-due:' .. endpoint end
local function sending(endpoint) return P .. 'webhook-sending:' .. endpoint end
-- deliveries of one job, which wait for each other
local function lane(endpoint, subject) return P .. 'webhook-lane:' .. endpoint .. ':' .. subject end
local function is_enabled(endpoint) return redis.call('HGET', webhook(endpoint), 'enabled') == '1' end
local function drop(endpoint, id)
  redis.call('DEL', delivery(id), attempts(id))
  for _, index in ipairs({log, over, due, sending}) do redis.call('ZREM', index(endpoint), id) end
end
local function end_delivery(endpoint, id, state)
  redis.call('HSET', delivery(id), 'state', state)
  redis.call('ZADD', over(endpoint), now(), id)
end
-- ended deliveries that are too old or too many; some at a time
local function prune(endpoint, max_ended, ended_ms)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', over(endpoint), '-inf', now() - ended_ms, 'LIMIT', 0, 100)) do
    drop(endpoint, id)
  end
  local surplus = math.min(redis.call('ZCARD', over(endpoint)) - max_ended, 100)
  if surplus > 0 then
    for _, id in ipairs(redis.call('ZRANGE', over(endpoint), 0, surplus - 1)) do drop(endpoint, id) end
  end
end
local function count_pending(endpoint)
  return redis.call('ZCARD', log(endpoint)) - redis.call('ZCARD', over(endpoint))
end
-- a new delivery; those of one job wait for each other, so that they go out in order. Beyond `max_pending` of one
-- endpoint it fails at once.
local function add_delivery(endpoint, event, at, fields, max_pending)
  local order = redis.call('INCR', P .. 'delivery-order') % 1000000
  local id = string.format('%013d%06d', now(), order) .. string.sub(endpoint, -12)
  local pending = count_pending(endpoint)
  redis.call('HSET', delivery(id), 'id', id, 'webhook', endpoint, 'event', event, 'at', at,
    'state', 'pending', 'failures', 0, 'claims', 0, unpack(fields))
  redis.call('ZADD', log(endpoint), 0, id)
  if pending >= tonumber(max_pending) then
    redis.call('RPUSH', attempts(id), cjson.encode({
      at = now(), error = 'not sent: ' .. pending .. ' deliveries wait already', milliseconds = 0}))
    end_delivery(endpoint, id, 'failed')
    count_event('webhooks:dropped')
    return id
  end
  local subject = redis.call('HGET', delivery(id), 'job')
  if not subject or redis.call('RPUSH', lane(endpoint, subject), id) == 1 then
    redis.call('ZADD', due(endpoint), now(), id)
  end
  return id
end
-- the next delivery of the same job may go
local function release_next(endpoint, id)
  local subject = redis.call('HGET', delivery(id), 'job')
  if not subject or redis.call('LINDEX', lane(endpoint, subject), 0) ~= id then return end
  redis.call('LPOP', lane(endpoint, subject))
  local following = redis.call('LINDEX', lane(endpoint, subject), 0)
  if following then redis.call('ZADD', due(endpoint), now(), following) end
end
