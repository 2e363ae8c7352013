"""What schedules compute with: arrays of steps, lengths, formulas, and what all of it costs."""
