"""Recipes: read, checked, and turned into objects."""
