"""Rows as files have them, before they are tokens."""
