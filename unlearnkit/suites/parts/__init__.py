"""Shared parts of suites."""
