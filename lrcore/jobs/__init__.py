"""What a training job is, which states it can be in, and where jobs are kept."""
