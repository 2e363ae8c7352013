"""Large requests, each answered by a process of its own."""
