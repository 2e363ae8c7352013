-- Do once what a worker does to jobs, on keys that are removed again. Returns the commands that Redis refuses.
--@include keys
local id = ARGV[2]
local k, refused = job(id), {}
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then table.insert(refused, string.lower(select(1, ...))) end
end
try('HSET', k, 'f', 1) try('HSETNX', k, 'g', 1) try('HGET', k, 'f') try('HMGET', k, 'f', 'g') try('HGETALL', k)
try('HEXISTS', k, 'f') try('HINCRBY', k, 'f', 1) try('HVALS', k) try('HDEL', k, 'f') try('EXISTS', k)
try('EXPIRE', k, 60)
try('ZADD', k .. ':z', 1, 'm') try('ZSCORE', k .. ':z', 'm') try('ZRANK', k .. ':z', 'm') try('ZCARD', k .. ':z')
try('ZCOUNT', k .. ':z', 0, 1) try('ZRANGE', k .. ':z', 0, -1) try('ZRANGEBYSCORE', k .. ':z', 0, 1)
try('ZREMRANGEBYSCORE', k .. ':z', 0, 1) try('ZREM', k .. ':z', 'm')
try('RPUSH', k .. ':l', 1) try('LPUSH', k .. ':l', 1) try('LINDEX', k .. ':l', 0) try('LLEN', k .. ':l')
try('LRANGE', k .. ':l', 0, -1) try('LTRIM', k .. ':l', 0, 1) try('LPOP', k .. ':l')
try('SADD', k .. ':s', 1) try('SMEMBERS', k .. ':s') try('SCARD', k .. ':s') try('SREM', k .. ':s', 1)
try('INCR', k .. ':n') try('INCRBY', k .. ':n', 1) try('DECRBY', k .. ':n', 1) try('GET', k .. ':n') try('TIME')
try('XADD', k .. ':x', '*', 'f', 1) try('XRANGE', k .. ':x', '-', '+') try('XDEL', k .. ':x', '0-1')
try('PUBLISH', P .. 'events:doctor', '') try('DEL', k, k .. ':z', k .. ':l', k .. ':s', k .. ':n', k .. ':x')
return refused
