"""Depth of forgetting by decoder block, and weights that moved."""

from unlearnkit.inspection.depth import Depth, depth
from unlearnkit.inspection.moved import Moved, moved

__all__ = ["Depth", "Moved", "depth", "moved"]
