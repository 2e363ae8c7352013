-- Jobs that no worker trains any more.
--@include leases
--@include moves
-- a running job that is not trained any more goes where it is wanted
local function release(id, error)
  local wanted = requested(id)
  if wanted == 'cancel' then return move(id, 'cancelled') end
  if wanted == 'pause' then return move(id, 'paused') end
  if is_overtime(id) then return fail(id, 'timeout', 'it has run longer than its max_seconds') end
  return move(id, 'queued', error)
end
-- a running job whose worker is gone: its lease ran out, its process has died, or it has stalled. So many `max_kills`,
-- deaths that the job may have caused, fail it; `how` says how the process ended. One that was draining did not die of
-- the job: it was killed because it took too long to end.
local function lose(id, max_losses, why, max_kills, how)
  if redis.call('HGET', job(id), 'state') ~= 'running' then
    redis.call('ZREM', P .. 'leases', id)
    return
  end
  local losses, parent = redis.call('HINCRBY', job(id), 'losses', 1), redis.call('HGET', job(id), 'parent')
  if parent then redis.call('HINCRBY', job(parent), 'losses', 1) end
  count_event('lost:' .. why)
  local sign = redis.call('HGET', job(id), 'sign')
  if max_kills and sign ~= 'draining' then
    local kills = redis.call('HINCRBY', job(id), 'kills', 1)
    if kills >= max_kills and not requested(id) then
      return fail(id, 'worker_killed', 'its worker died ' .. kills .. (kills == 1 and ' time' or ' times') ..
        ' while it ran this job, the last time ' .. how .. (sign and '; last sign of life: ' .. sign or ''))
    end
  end
  if losses > max_losses and not requested(id) then
    return fail(id, 'worker_lost', losses .. ' workers were lost while they ran this job')
  end
  release(id)
end
