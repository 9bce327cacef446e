"""Rows as they stand in files, before tokenisation."""
