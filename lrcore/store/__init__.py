"""Where jobs live: one Redis, the truth about every job. One class for each role: client, lease, operator."""
