"""Pictures by matplotlib, and letters in them."""
