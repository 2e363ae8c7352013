-- Make a delivery of the event webhook.test. Returns missing | disabled | its id.
--@include deliveries
local endpoint, max_pending = unpack(ARGV, 2, 3)
if redis.call('EXISTS', webhook(endpoint)) == 0 then return 'missing' end
if not is_enabled(endpoint) then return 'disabled' end
return add_delivery(endpoint, 'webhook.test', now(), {}, max_pending)
