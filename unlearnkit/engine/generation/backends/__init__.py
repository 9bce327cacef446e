"""Backends that generate other than batch by batch."""
