-- Turn the first events into deliveries, one for each endpoint that wants them. Returns how many events.
--@include deliveries
local max_events, max_pending = unpack(ARGV, 2, 3)
local entries = redis.call('XRANGE', P .. 'outbox', '-', '+', 'COUNT', max_events)
if #entries == 0 then return 0 end
local endpoints = {}
for _, endpoint in ipairs(redis.call('ZRANGE', P .. 'webhooks', 0, -1)) do
  local record = redis.call('HMGET', webhook(endpoint), 'events', 'label', 'created_at', 'tenant')
  if is_enabled(endpoint) then
    local events = {}
    for _, event in ipairs(cjson.decode(record[1])) do events[event] = true end
    table.insert(endpoints, {id = endpoint, events = events, label = record[2], since = tonumber(record[3]),
      tenant = record[4]})
  end
end
for _, entry in ipairs(entries) do
  local at, fields = tonumber(string.match(entry[1], '%d+')), {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  local event, labelled = 'job.' .. fields.job_state, {[''] = true}
  for _, label in ipairs(cjson.decode(fields.labels)) do labelled[label] = true end
  for _, endpoint in ipairs(endpoints) do
    local wanted = endpoint.events[event] and labelled[endpoint.label] and at >= endpoint.since
    if wanted and endpoint.tenant == fields.tenant then
      add_delivery(endpoint.id, event, at, entry[2], max_pending)
    end
  end
  redis.call('XDEL', P .. 'outbox', entry[1])
end
return #entries
