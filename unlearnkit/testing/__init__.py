"""Checks of an objective without a model, for plugins too.

>>> from unlearnkit.objectives import NPO
>>> check_objective(NPO(beta=0.5))
"""

from unlearnkit.testing.check import check_objective
from unlearnkit.testing.sources import LogitsSource, stream_view

__all__ = ["LogitsSource", "check_objective", "stream_view"]
