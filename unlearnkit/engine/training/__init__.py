"""What surrounds a step: schedule, resume, freezing, sharding."""
