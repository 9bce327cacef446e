"""Edits, which make a model from others without training.

Every module of this package is imported with it, so a new edit is one new file. Classes can be
imported from here by name: ``from unlearnkit.edits import Negate``.
"""

from unlearnkit.edits.base import Edit
from unlearnkit.registry import discover

__all__ = ["Edit"]
__getattr__, __dir__ = discover(__name__, Edit)
