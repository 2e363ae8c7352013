-- What tenants have used, and the bounds that an operator has set.
--@include keys
--@include clock
-- a bound for a tenant, or for all
local function limit(tenant, name)
  local found = redis.call('HGET', P .. 'limits:' .. tenant, name) or redis.call('HGET', P .. 'limits:*', name)
  return found and tonumber(found)
end
-- how long a tenant's jobs have run today
local function spent_key(tenant) return own(tenant, 'spent:' .. math.floor(now() / 86400000)) end
-- ms from `at` until now, without those before midnight
local function ms_of_today(at) return now() - math.max(tonumber(at), now() - now() % 86400000) end
-- whether a tenant has had all that it may run today
local function used_up(tenant)
  local seconds = limit(tenant, 'gpu_seconds_per_day')
  if not seconds then return false end
  local spent = tonumber(redis.call('GET', spent_key(tenant)) or 0)  -- ms
  for _, id in ipairs(redis.call('SMEMBERS', own(tenant, 'busy'))) do
    spent = spent + ms_of_today(redis.call('HGET', job(id), 'claimed_at') or now())
  end
  return spent >= seconds * 1000
end
-- whether a tenant's files take all the room that they may
local function full(tenant)
  local most = limit(tenant, 'stored_bytes')
  return most and tonumber(redis.call('GET', own(tenant, 'stored')) or 0) >= most
end
