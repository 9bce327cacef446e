"""Reads recipes, checks them, and builds their objects."""
