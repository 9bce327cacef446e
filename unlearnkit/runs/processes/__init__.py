"""Knows the other processes of a run, and what becomes of them."""
