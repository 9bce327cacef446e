"""A tiny TOFU: authors of our own invention, and two small models."""
