"""The commands, by subject. A module here imports nothing large at its top: every start would pay for it."""
