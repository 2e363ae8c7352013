-- Return {the time in ms; what was counted; {state, jobs, experiments} of each state, over all tenants; {queue, ms
-- since its oldest job began to wait or -1} of each; {worker, its statistics} of each that lives}.
--@include keys
--@include clock
local function oldest_ms(queue)
  local since = redis.call('ZRANGE', P .. 'waiting:' .. queue, 0, 0, 'WITHSCORES')[2]
  return since and now() - since or -1
end
local tenants = redis.call('SMEMBERS', P .. 'tenants')
table.insert(tenants, 'default')
local states = {}
for _, state in ipairs({'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled'}) do
  local jobs, experiments = 0, 0
  for _, tenant in ipairs(tenants) do
    jobs = jobs + redis.call('ZCARD', own(tenant, 'jobs:' .. state))
    experiments = experiments + redis.call('ZCARD', own(tenant, 'experiments:' .. state))
  end
  table.insert(states, {state, jobs, experiments})
end
local ages = {}
for i, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do ages[i] = {queue, oldest_ms(queue)} end
local living = {}
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', now(), '+inf')) do
  living[worker] = true
end
local stats, known = {}, redis.call('HGETALL', P .. 'vitals')
for i = 1, #known, 2 do
  if living[known[i]] then table.insert(stats, {known[i], known[i + 1]}) end
end
return {now(), redis.call('HGETALL', P .. 'counters'), states, ages, stats}
