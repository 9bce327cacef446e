"""Edits of weights, and models made of models."""

from unlearnkit.edits.erase import delete_examples, erase_model
from unlearnkit.edits.gated import o3_model
from unlearnkit.edits.lunar import lunar_model
from unlearnkit.edits.task_vector import add_task_vectors
from unlearnkit.edits.wrappers import offset_model, uld_model, whp_model

__all__ = [
    "add_task_vectors",
    "delete_examples",
    "erase_model",
    "lunar_model",
    "o3_model",
    "offset_model",
    "uld_model",
    "whp_model",
]
