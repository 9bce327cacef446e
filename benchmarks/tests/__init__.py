"""Tests of the commands that are one file."""
