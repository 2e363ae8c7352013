"""What a job is: its type and spec, its states, and what its readers see. Knows no store."""
