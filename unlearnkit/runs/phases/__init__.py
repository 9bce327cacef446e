"""Phases of a run: trainings and edits, one after the other."""
