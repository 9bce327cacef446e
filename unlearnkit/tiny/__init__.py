"""The embedded models and data."""
