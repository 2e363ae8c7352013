"""Results of jobs and experiments as tables, leaderboards and pictures."""
