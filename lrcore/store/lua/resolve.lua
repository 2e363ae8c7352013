-- Return the id under which a tenant has a job, or nothing.
--@include tenancy
local id, tenant = unpack(ARGV, 2, 3)
return stored_id(id, tenant)
