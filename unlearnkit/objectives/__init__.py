"""Objectives: weighted losses on streams, registered by name.

Every module of this package is imported with it, so a new objective is one new file. Classes can
be imported from here by name: ``from unlearnkit.objectives import NPO``.
"""

from unlearnkit.objectives.base import Objective
from unlearnkit.registry import discover

__all__ = ["Objective"]
__getattr__, __dir__ = discover(__name__, Objective)
