"""Curves and other answers as bytes."""
