"""Scripts that make the tiny TOFU with power."""
