"""Registry of the functions that compute stored metric values with the package.

Values were measured on published reference code. Where that code differs from its paper, the
package reproduces it under a ``compat`` name; three differences are the harness's own, each noted
where it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from golden_metrics import Case, World

from unlearnkit.metrics import UnlearningMetric

Adapter = Callable[[World], Any]
ADAPTERS: dict[str, Adapter] = {}
OPEN: Literal["open-unlearning"] = "open-unlearning"
SCORE: Literal["rouge-score"] = "rouge-score"


def adapter(*names: str) -> Callable[[Adapter], Adapter]:
    """Names the metrics whose stored values a function computes, in the stored structure."""

    def register(function: Adapter) -> Adapter:
        ADAPTERS.update(dict.fromkeys(names, function))
        return function

    return register


def compute(case: Case) -> Any:
    """The case's value; an unknown metric is an error."""
    if case.metric not in ADAPTERS:
        raise LookupError(f"no adapter computes the stored metric '{case.metric}'")
    return ADAPTERS[case.metric](World(case))


def result(metric: UnlearningMetric, *update: Any) -> float:
    """The metric's value after one update."""
    metric.update(*update)
    return metric.compute().item()


def agg_and_items(metric: UnlearningMetric, *update: Any) -> dict[str, Any]:
    return {"agg": result(metric, *update), "items": metric.row_values()[:, 0].tolist()}
