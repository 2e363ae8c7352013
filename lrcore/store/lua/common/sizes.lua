-- Whether a job is too large for its tenant.
--@include limits
-- the limit that it exceeds, as {its name, its value, the job's size}; nothing if it may be run. The record may be one
-- that is not stored yet.
local function exceeded_limit(tenant, record)
  local most = record.runs and limit(tenant, 'runs')
  if most and tonumber(record.runs) > most then return {'runs', most, tonumber(record.runs)} end
  most = limit(tenant, 'steps')
  if not most then return nil end
  local steps, after = cjson.decode(record.progress).steps, tonumber(record.steps_after or 0)
  if steps > most then return {'steps', most, steps} end
  if after > most then return {'steps_after', most, after} end
end
