-- How many jobs of a tenant wait.
--@include experiments
-- those that have not ended and are in no worker's hands: they wait, are paused, or are experiments that have begun and
-- wait for their next worker
local function count_waiting(tenant)
  local count = redis.call('ZCARD', own(tenant, 'jobs:queued')) + redis.call('ZCARD', own(tenant, 'jobs:paused'))
  for _, id in ipairs(redis.call('ZRANGE', own(tenant, 'experiments:running'), 0, -1)) do
    if is_idle(id) then count = count + 1 end
  end
  return count
end
