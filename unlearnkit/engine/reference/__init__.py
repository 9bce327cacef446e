"""The reference model and its stored values."""
