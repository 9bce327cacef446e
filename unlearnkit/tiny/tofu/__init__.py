"""The tiny TOFU: invented authors, and two small models."""
