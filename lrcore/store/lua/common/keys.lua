-- The names of the store's keys, all with the prefix in ARGV[1], and who owns a job.
local P = ARGV[1]
local function job(id) return P .. 'job:' .. id end
-- a key of an experiment's runs
local function runs(id, what) return P .. 'runs:' .. id .. ':' .. what end
-- what every tenant has for itself; the default one under the plain name
local function own(tenant, name)
  return P .. ((tenant == '' or tenant == 'default') and name or 'of:' .. tenant .. ':' .. name)
end
-- a record from before there were tenants names none
local function owner(id) return redis.call('HGET', job(id), 'tenant') or 'default' end
-- the rest of the arguments, of which there may be more than unpack takes
local function arguments_from(first)
  local found = {}
  for i = first, #ARGV do table.insert(found, ARGV[i]) end
  return found
end
