-- Redis' clock, the only one that the scripts use: ms since 1970.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
