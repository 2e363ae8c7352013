"""Frameworks that run the training loop and take a schedule as configuration, or as an object with its own clock."""
