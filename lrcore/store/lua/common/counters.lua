-- How often something has happened, whichever process saw it.
--@include keys
local function count_event(what) redis.call('HINCRBY', P .. 'counters', what, 1) end
