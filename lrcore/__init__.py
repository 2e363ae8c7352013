"""What a learning-rate schedule is and what a training job is. Knows no web framework, no queue, no torch."""

__version__ = "0.1.0"
