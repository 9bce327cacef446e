"""Loads models and adapters."""
