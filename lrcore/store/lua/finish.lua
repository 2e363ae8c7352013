-- End a job, or with queued give it back, to where it is wanted by then. An error or a result may be ''. The result of
-- a job that succeeded is there as soon as the state is.
-- Returns {held | fenced | missing, the new state}.
--@include losses
local id, token, after, error, may_retry, result = unpack(ARGV, 2, 7)
local standing = lease_standing(id, token)
if standing ~= 'held' then return {standing, ''} end
if after == 'succeeded' and result ~= '' then redis.call('HSET', job(id), 'result', result) end
local retry = after == 'failed' and may_retry == '1' and
  redis.call('HINCRBY', job(id), 'errors', 1) < tonumber(redis.call('HGET', job(id), 'max_attempts'))
if retry then count_event('retried') end
if retry or after == 'queued' then
  release(id, retry and error or nil)
else
  move(id, after, error ~= '' and error or nil)
end
return {'held', redis.call('HGET', job(id), 'state')}
