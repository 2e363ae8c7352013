"""Event streams of jobs."""
