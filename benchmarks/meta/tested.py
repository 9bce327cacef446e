"""The metrics that are tested, and their values on readings."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.meta import facts as data
from benchmarks.meta.inputs import inputs_of, names_known, parts_of, score_of
from benchmarks.meta.readings import Reading
from unlearnkit.errors import UserError
from unlearnkit.functional import membership
from unlearnkit.metrics import RowMean, UnlearningMetric
from unlearnkit.metrics.base import Direction

LEFT_OUT = {
    "chance": "it is of the questions, not of a model",
    "closed": "no model of the zoo thinks",
    "harmful_rate": "it needs a classifier",
    "harmfulness": "it needs a classifier",
    "hidden": "no model of the zoo thinks",
    "model_utility": "it is of rows to keep",
    "semantic_similarity": "it needs an encoder",
    "thought_rouge": "no model of the zoo thinks",
}
"""Metrics of the package that are not tested, and why."""
LOW_KNOWS = (
    "answer_perplexity", "hallucination_rate", "kl_to_reference", "preference_gain",
    "preference_rate",
)  # fmt: skip
"""Metrics whose direction is not of forgetting, and that are low for a model that knows."""
_HIGH_KNOWS = ("true_better", "prob_mean")
"""Truth ratios that are high for such a model."""
_VARIANTS: Mapping[str, Sequence[dict[str, Any]]] = {
    "leak_rate": [{"threshold": 50.0}],
    "membership_score": [{"attack": each} for each in ("loss", "zlib", "min_k", "min_k_pp")],
    "truth_ratio": [{"which": each} for each in ("closer_to_1_better", "true_better", "prob_mean")],
}


class Depth(RowMean):
    """Unlearning depth score, mean over rows."""

    direction = "up"
    needs = keys = ("depth",)

    def per_row(self, depth: Sequence[float | None]) -> Sequence[float | None]:
        """From the scores of all rows."""
        return depth


@dataclass(frozen=True)
class Candidate:
    """A metric with its settings.

    Args:
        name: What the table calls it.
        cls: Its class.
        settings: Arguments of its constructor.
    """

    name: str
    cls: type[UnlearningMetric]
    settings: Mapping[str, Any]

    @property
    def direction(self) -> Direction | None:
        """Good values on rows to forget."""
        return self.cls.direction_on("forget")

    @property
    def high_knows(self) -> bool:
        """Whether a high value tells of knowledge."""
        if self.cls.registered_name in LOW_KNOWS:
            return False
        return self.direction != "up" or self.settings.get("which") in _HIGH_KNOWS

    def value(self, reading: Reading, gold: Reading, before: Reading) -> float | None:
        """Its value on one model's reading; None if there is none.

        Args:
            reading: Of the model.
            gold: Of the gold model, on the same facts.
            before: Of the model that all are held against.
        """
        metric = self.cls(**self._given(gold))
        inputs = inputs_of(metric, reading, gold, before)
        metric.update(*inputs)
        value = metric.compute().item()
        if self.direction == "zero":
            value = abs(value)
        elif self.direction == "gold":
            other = self.cls(**self._given(gold))
            other.update(*inputs_of(other, gold, gold, before))
            value = abs(value - other.compute().item())
        return value if math.isfinite(value) else None

    def knowledge(self, value: float) -> float:
        """The value, turned round if a low one tells of knowledge."""
        return value if self.high_knows else -value

    def cost(self, reading: Reading, gold: Reading, before: Reading) -> float:
        """Seconds of the processor for one model: what it is made from, and itself."""
        metric = self.cls(**self._given(gold))
        parts = parts_of(metric, reading)
        started = time.process_time()
        self.value(reading, gold, before)
        return sum(reading["cost"][part] for part in parts) + time.process_time() - started

    def _given(self, gold: Reading) -> dict[str, Any]:
        given = dict(self.settings)
        if self.cls.registered_name == "privleak":
            given["auc_gold"] = membership.auc(*map(torch.tensor, score_of(gold)))
        if self.cls.registered_name == "keyword_rate":
            given["keywords"] = [fact.value for fact in data.facts()]
        return given


def all_of_the_package() -> list[Candidate]:
    """Every metric that can be tested, with each of its settings."""
    found = [Candidate("depth", Depth, {})]
    for name, cls in UnlearningMetric.registered().items():
        if name in LEFT_OUT or not cls.__module__.startswith("unlearnkit."):
            continue
        for settings in _VARIANTS.get(name, [{}]):
            shown = ", ".join(str(value) for value in settings.values() if isinstance(value, str))
            found.append(Candidate(f"{name} ({shown})" if shown else name, cls, settings))
    return found


def own(path: str) -> Candidate:
    """A metric of the user's by dotted name, such as ``my_file.Mine``.

    Raises:
        UserError: If there is none, it needs arguments, or inputs that no reading has.
    """
    cls: Any = UnlearningMetric.named(path)
    try:
        metric = cls()
    except TypeError as error:
        raise UserError(f"--metric {path}: it cannot be made without arguments ({error})") from None
    known = names_known()
    if missing := [name for name in metric.needs if name not in known]:
        raise UserError(
            f"--metric {path}: it needs {', '.join(missing)}, which is not read from a model.",
            hint=f"Read are: {', '.join(sorted(known))}.",
        )
    return Candidate(path, cls, {})
