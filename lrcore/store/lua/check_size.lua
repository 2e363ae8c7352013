-- Find out whether a job is too large for its tenant. Returns the refusal as create.lua does, or nothing.
--@include submissions
local tenant, most_of_spec = unpack(ARGV, 2, 3)
local fields = arguments_from(4)
return size_refusal(tenant, record_from(fields), tonumber(most_of_spec)) or false
