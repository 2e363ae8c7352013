-- The moves between the states of a job: those of lrcore.jobs.states, which a test compares.
local MOVES = {
  queued = {running = true, paused = true, cancelled = true},
  running = {queued = true, paused = true, succeeded = true, failed = true, cancelled = true},
  paused = {queued = true, cancelled = true},
  succeeded = {},
  failed = {},
  cancelled = {},
}
local function ended(state) return MOVES[state] and next(MOVES[state]) == nil end
-- a run of an experiment may be pruned as well
local function run_ended(state) return state == 'pruned' or ended(state) end
