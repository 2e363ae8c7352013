"""Deliveries of webhooks: which are due, where they may go, and how they are signed and sent."""
