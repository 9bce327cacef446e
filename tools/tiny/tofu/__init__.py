"""Scripts that make the tiny TOFU."""
