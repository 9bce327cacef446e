"""Resumes from checkpoints that were made with the same things."""
