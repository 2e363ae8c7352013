"""Large requests: each is answered by a process of its own."""
