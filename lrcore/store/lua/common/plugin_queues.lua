-- The queues that a worker serves.
--@include keys
-- those given, and with plug-ins, each as name==version with commas between, those known queues whose label is among
-- them and whose plug-ins the worker all has
local function served_queues(queues, plugins)
  if plugins == '' then return queues end
  local found, given = {}, {}
  for i, queue in ipairs(queues) do
    found[i] = queue
    given[queue] = true
  end
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
    local label, needed = string.match(queue, '^([^,]+),(.+)$')
    local all = label and given[label] and not given[queue]
    for plugin in string.gmatch(all and needed or '', '[^,]+') do
      all = all and string.find(',' .. plugins .. ',', ',' .. plugin .. ',', 1, true)
    end
    if all then table.insert(found, queue) end
  end
  return found
end
