-- How long jobs run.
--@include keys
--@include clock
-- a job's time, all attempts together, in ms
local function run_ms(id)
  local record = redis.call('HMGET', job(id), 'ran', 'claimed_at')
  return (record[1] or 0) + (record[2] and now() - record[2] or 0)
end
local function is_overtime(id)
  local most = redis.call('HGET', job(id), 'max_ms')
  return most and run_ms(id) > tonumber(most)
end
