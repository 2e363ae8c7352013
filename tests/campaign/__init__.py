"""Drawn campaigns: short in `make test`, long by `python -m tests.campaign.NAME --count N --seed S`."""
