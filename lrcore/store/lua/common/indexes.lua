-- The indexes by which jobs are listed.
--@include keys
-- `suffix` is empty, or a colon and a state
local function index(id, command, suffix)
  local record = redis.call('HMGET', job(id), 'tenant', 'order', 'runs', 'labels')
  local entry = command == 'ZADD' and {record[2], id} or {id}
  local keys = {'jobs'}
  if record[3] then table.insert(keys, 'experiments') end
  for _, label in ipairs(cjson.decode(record[4] or '[]')) do table.insert(keys, 'label:' .. label) end
  for _, key in ipairs(keys) do redis.call(command, own(record[1] or 'default', key .. suffix), unpack(entry)) end
end
