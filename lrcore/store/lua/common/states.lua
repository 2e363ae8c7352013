-- The states of jobs, and the moves between them: those of lrcore.jobs.states, as a test holds.
local MOVES = {
  ['queued>running'] = true, ['queued>paused'] = true, ['queued>cancelled'] = true,
  ['running>queued'] = true, ['running>paused'] = true, ['running>succeeded'] = true, ['running>failed'] = true,
  ['running>cancelled'] = true,
  ['paused>queued'] = true, ['paused>cancelled'] = true,
}
local function ended(state) return state == 'succeeded' or state == 'failed' or state == 'cancelled' end
-- a run of an experiment may be pruned as well
local function run_ended(state) return state == 'pruned' or ended(state) end
