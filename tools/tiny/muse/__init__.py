"""Scripts that make the tiny MUSE."""
