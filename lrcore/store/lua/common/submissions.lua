-- What a new job's record is, and whether it may be stored.
--@include sizes
-- a record from its fields and values
local function record_from(fields)
  local record = {}
  for i = 1, #fields, 2 do record[fields[i]] = fields[i + 1] end
  return record
end
-- why a job is too large to be stored: large, the limit that it exceeds, its value, the job's size; or nothing
local function size_refusal(tenant, record, most_of_spec)
  local found = exceeded_limit(tenant, record)
  if not found and #record.spec > most_of_spec then found = {'spec', most_of_spec, #record.spec} end
  return found and {'large', found[1], string.format('%.0f', found[2]), string.format('%.0f', found[3])}
end
