"""Messages to other services when a job changes its state."""
