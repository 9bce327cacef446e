"""Edits of weights, and models made of models."""

from unlearnkit.edits.task_vector import add_task_vectors

__all__ = ["add_task_vectors"]
