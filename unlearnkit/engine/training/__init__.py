"""Schedule, resume, freezing and sharding of a training."""
