-- A tenant's view of ids.
--@include keys
-- the id under which a tenant, or '' for any, has the job, or nothing: one that it chose itself stands behind its name,
-- so that nobody meets another one's
local function stored_id(id, tenant)
  for _, each in ipairs({id, tenant .. ':' .. id}) do
    local record = redis.call('HMGET', job(each), 'id', 'parent')
    if record[1] and not record[2] and (tenant == '' or owner(each) == tenant) then return each end
  end
  return false
end
