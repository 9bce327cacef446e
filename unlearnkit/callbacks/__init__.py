"""Lightning callbacks that a recipe calls by name.

Every module of this package is imported with it, so a new callback is one new file. Classes can be
imported from here by name: ``from unlearnkit.callbacks import CollapseStop``.
"""

from unlearnkit.callbacks.base import NamedCallback
from unlearnkit.registry import discover

__all__ = ["NamedCallback"]
__getattr__, __dir__ = discover(__name__, NamedCallback)
