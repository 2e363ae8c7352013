-- Put a new job into its queue.
-- Returns the outcome, and the view of the job if there is one:
--   made: it is new; or this very call, whose answer was lost, has made it
--   there: the same request has made it before
--   taken: another request has made a job of this chosen id
--   reused: the request's key was used for another job
--   limit, its name, its value: the tenant has as much as it may have
--   large, the limit that the job exceeds, its value, the job's size
-- `taken` and `reused` only mean that the text differs: another version may write the same job differently, so the
-- caller compares the specs.
--@include submissions
--@include views
--@include indexes
--@include waiting
--@include counters
local id, is_chosen, request, content, tenant, most_of_spec, default_bytes, overhead = unpack(ARGV, 2, 9)
local fields = arguments_from(10)
local request_key = own(tenant, 'request:' .. request)
local function earlier()
  if redis.call('EXISTS', job(id)) == 1 then
    if is_chosen == '0' then return {'made', view(id)} end
    local before = redis.call('HGET', job(id), 'content')
    return before == content and {'there', view(id)} or {'taken', before and view(id)}
  end
  if request == '' then return nil end
  local made_id, made_content = unpack(redis.call('HMGET', request_key, 'id', 'content'))
  if made_id and redis.call('EXISTS', job(made_id)) == 1 then
    return {made_content == content and 'there' or 'reused', view(made_id)}
  end
end
local record = record_from(fields)
local bytes = #record.spec + overhead
local function refusal()
  local large = size_refusal(tenant, record, tonumber(most_of_spec))
  if large then return large end
  local function reached(name, most) return {'limit', name, string.format('%.0f', most)} end
  local most = limit(tenant, 'queued')
  if most and count_waiting(tenant) >= most then return reached('queued', most) end
  if full(tenant) then return reached('stored_bytes', limit(tenant, 'stored_bytes')) end
  most = limit(tenant, 'record_bytes') or tonumber(default_bytes)
  if most > 0 and tonumber(redis.call('GET', own(tenant, 'record_bytes')) or 0) + bytes > most then
    return reached('record_bytes', most)
  end
end
local answer = earlier() or refusal()
if answer then return answer end
if request ~= '' then
  redis.call('HSET', request_key, 'id', id, 'content', content)
  redis.call('EXPIRE', request_key, 86400)
end
redis.call('HSET', job(id), 'id', id, 'state', 'queued', 'attempt', 0, 'losses', 0, 'errors', 0,
  'created_at', now(), 'order', redis.call('INCR', P .. 'order'), 'tenant', tenant, 'record_bytes', bytes,
  unpack(fields))
redis.call('INCRBY', own(tenant, 'record_bytes'), bytes)
if is_chosen == '1' then redis.call('HSET', job(id), 'content', content) end
redis.call('SADD', P .. 'queues', record.queue)
index(id, 'ZADD', '')
index(id, 'ZADD', ':queued')
enqueue(id)
count_event('submitted')
publish(id, 'state', cjson.encode({state = 'queued', attempt = 0}))
add_to_outbox(id, 'queued')
return {'made', view(id)}
