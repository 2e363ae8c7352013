-- Return the view of a tenant's job, or nothing.
--@include tenancy
--@include views
local id, tenant = unpack(ARGV, 2, 3)
local found = stored_id(id, tenant)
return found and view(found)
