"""The loop: fit, optimisers and schedules, checkpoints, progress."""
