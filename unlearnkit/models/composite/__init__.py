"""Composite models: folders that point at other models."""
