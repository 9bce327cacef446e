"""Judges models that no run made."""
