"""What jobs and experiments came to: tables, leaderboards and pictures."""
