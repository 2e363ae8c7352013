-- Return how many workers live.
--@include keys
--@include clock
return redis.call('ZCOUNT', P .. 'workers', now(), '+inf')
