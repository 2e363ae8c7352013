-- Write something that leaves nothing behind: where Redis takes no writes, it fails as that of a new job would.
--@include keys
redis.call('SET', P .. 'probe', 1)
redis.call('DEL', P .. 'probe')
