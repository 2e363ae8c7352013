"""Celery in, training out."""
