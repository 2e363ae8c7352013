-- Do once what only an API does. Returns the commands that Redis refuses, each with its key.
--@include keys
local refused = {}
for _, each in ipairs({{'HGET', 'key:doctor', 'f'}, {'ZCARD', 'keys'}, {'HGET', 'webhook:doctor', 'f'},
    {'XLEN', 'outbox'}, {'XREVRANGE', 'audit', '+', '-', 'COUNT', 1}}) do
  local answer = redis.pcall(each[1], P .. each[2], unpack(each, 3))
  if type(answer) == 'table' and answer.err then
    table.insert(refused, string.lower(each[1]) .. ' ' .. P .. each[2])
  end
end
return refused
