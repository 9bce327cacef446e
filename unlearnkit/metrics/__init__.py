"""Unlearning metrics as torchmetrics, each with a registered name.

Every module of this package is imported with it, so a new metric is one new file. Classes can be
imported from here by name: ``from unlearnkit.metrics import Rouge``.
"""

from unlearnkit.metrics.base import ByRole, RowMean, TokenMean, UnlearningMetric
from unlearnkit.registry import discover

__all__ = ["ByRole", "RowMean", "TokenMean", "UnlearningMetric"]
__getattr__, __dir__ = discover(__name__, UnlearningMetric)
