-- Where jobs wait, how long they take, and who serves them.
--@include keys
--@include clock
local function queue_key(id) return own(owner(id), 'queue:' .. redis.call('HGET', job(id), 'queue')) end
-- a higher priority goes first, then the job that came first; a job that comes back has its old place
local function enqueue(id)
  local record = redis.call('HMGET', job(id), 'queue', 'order', 'priority')
  redis.call('ZADD', queue_key(id), record[2] - record[3] * 1e12, id)
  redis.call('ZADD', P .. 'waiting:' .. record[1], 'NX', now(), id)  -- since when, over all tenants
  if owner(id) ~= 'default' then
    redis.call('SADD', P .. 'tenants:' .. record[1], owner(id))
    redis.call('SADD', P .. 'tenants', owner(id))
  end
end
local function dequeue(id)
  redis.call('ZREM', queue_key(id), id)
  redis.call('ZREM', P .. 'waiting:' .. redis.call('HGET', job(id), 'queue'), id)
end
local function living_workers(queue) return redis.call('ZCOUNT', P .. 'workers:' .. queue, now(), '+inf') end
-- the broker's list for a queue, as of lrcore.store.queue.broker_queue
local function message_list(prefix, queue) return prefix .. string.match(queue, '^[^,]*,?[^,]*') end
