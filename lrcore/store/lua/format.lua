-- Return the format of the store's records, after older ones have been migrated to the code's.
-- A migration changes all records of its number to the next one at once. What an older process would still read
-- rightly, such as one more field, needs neither a number nor a migration.
--@include keys
local known = tonumber(ARGV[2])
local migrations = {}
local stored = redis.call('GET', P .. 'format')
local found = tonumber(stored or 1)
while found < known do
  migrations[found]()
  found = found + 1
  redis.call('SET', P .. 'format', found)
end
return found
