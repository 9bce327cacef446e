"""The tiny TOFU with power: rows and models; see ``README.md``."""
