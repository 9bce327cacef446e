"""Robust methods, which change how the forget gradient is taken.

Every module of this package is imported with it, so a new method is one new file. Classes can be
imported from here by name: ``from unlearnkit.robust import SAM``.
"""

from unlearnkit.registry import discover
from unlearnkit.robust.base import Robust
from unlearnkit.robust.passes import Gradients, Passes

__all__ = ["Gradients", "Passes", "Robust"]
__getattr__, __dir__ = discover(__name__, Robust)
