"""Depth of forgetting by decoder block, lenses, and weights that moved."""

from unlearnkit.inspection.depth import Depth, depth
from unlearnkit.inspection.lens import lens_curve, tuned_lens
from unlearnkit.inspection.moved import Moved, moved

__all__ = ["Depth", "Moved", "depth", "lens_curve", "moved", "tuned_lens"]
