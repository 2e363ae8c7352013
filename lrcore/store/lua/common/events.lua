-- News of a job: in its stream for those who come later, and at once for those who listen.
--@include keys
local function publish(id, kind, data)
  local stream = P .. 'events:' .. id
  local event = redis.call('XADD', stream, 'MAXLEN', '~', 100000, '*', 'type', kind, 'data', data)
  redis.call('PUBLISH', stream, cjson.encode({event, kind, data}))
  return event
end
-- for webhooks, as long as there are any
local function add_to_outbox(id, state, error)
  if redis.call('EXISTS', P .. 'webhooks') == 0 then return end
  local record = redis.call('HMGET', job(id), 'kind', 'attempt', 'labels')
  redis.call('XADD', P .. 'outbox', 'MAXLEN', '~', 10000, '*', 'job', id, 'tenant', owner(id), 'job_state', state,
    'kind', record[1], 'attempt', record[2], 'labels', record[3], 'error', error or 'null')
end
-- progress, of which a stream keeps the last alone
local function publish_progress(id, progress)
  if progress == '' or redis.call('HGET', job(id), 'progress') == progress then return end
  local before = redis.call('HGET', job(id), 'news')
  if before then redis.call('XDEL', P .. 'events:' .. id, before) end
  redis.call('HSET', job(id), 'progress', progress, 'news', publish(id, 'progress', progress))
end
