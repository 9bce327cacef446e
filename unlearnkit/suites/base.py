"""Suites: evaluations made of probes, each with a role, and metrics."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from unlearnkit.errors import RecipeError
from unlearnkit.metrics.base import Role, UnlearningMetric
from unlearnkit.metrics.judged import Judged
from unlearnkit.registry import Registered
from unlearnkit.suites.parts.context import SuiteContext
from unlearnkit.suites.parts.measured import by_stream, match

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unlearnkit.data.encoded import StreamData
    from unlearnkit.data.example import Example
    from unlearnkit.data.streams.base import Stream


TEXTS = ("prompt", "generated", "reference")
"""Fields of rows that any metric of texts may need."""
Rows: TypeAlias = Sequence[Mapping[str, Any]]


class Probe(NamedTuple):
    """Role of a stream of rows, and the metrics that are measured on it."""

    role: Role | None
    """None for rows that are there for comparison only: no value is good or bad."""
    metrics: tuple[str, ...] | None = None
    """Names of the suite's metrics; None for all."""


class SourceRows(NamedTuple):
    """All rows of a source."""

    examples: list[Example]
    data: StreamData | None = None
    """What holds them; None where a suite made them of several tables."""
    stream: Stream | None = None
    """What reads them anew; None where they are a stream of the recipe."""


@dataclass(frozen=True)
class SuiteResult:
    """Values and rows of a suite.

    Args:
        values: Values by ``<stream>/<metric>``; the keys are public. None if no row holds
            anything to measure.
        rows: One mapping per probe: its stream, its texts and its own values, as JSON types.
        missing: Metrics that could not be computed, and which input each of them lacks.
        notes: Sentences on what was cut, and on how many rows a metric leaves out.
    """

    values: Mapping[str, float | None]
    rows: list[dict[str, Any]]
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Makes values that are not finite None, each with a note."""
        finite = {k: v for k, v in self.values.items() if v is not None and math.isfinite(v)}
        object.__setattr__(self, "values", {name: finite.get(name) for name in self.values})
        told = [note.partition(":")[0] for note in self.notes]
        for name in self.values:
            if name not in finite and name not in told:
                self.notes.append(f"{name}: no row holds anything to measure, or it is infinite")


class Suite(Registered, ABC):
    """An evaluation, run before and after unlearning and on the gold model.

    A subclass names its probes and metrics, and makes rows in `run`. It reads its data in `check`
    or `run`, and nothing in ``__init__``, whose arguments are the fields of a recipe.

    Raises:
        TypeError: At the class statement, for attributes of earlier versions.
    """

    probes: Mapping[str, Probe] = {}
    """Probes by stream; a key may hold ``*``, and of several that match the first counts."""
    metrics: Mapping[str, UnlearningMetric | type[UnlearningMetric]] = {}
    """Metrics by name, in which ``*`` may stand; a class if ``__init__`` makes the metric."""
    without_interval: ClassVar[tuple[str, ...]] = ()
    """Metrics whose values have no interval, such as a p-value."""
    uses_gold: ClassVar[bool] = False
    """Whether it runs the gold model beside, if there is one."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for old, new in (("better", "probes and metrics"), ("figures", "aggregate")):
            if old in vars(cls):
                raise TypeError(f"{cls.__qualname__}: '{old}' of a suite is now: {new}")

    @property
    def name(self) -> str:
        """The name that its values stand under."""
        return self.registered_name or type(self).__name__

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the recipe's streams that it reads, of those that the recipe has."""
        return ()

    def hub_tables(self) -> Mapping[str | None, bool]:
        """Configurations that it reads of a data set on the Hub, and whether it needs each.

        Where its attribute ``data`` is the id of one; empty, the default, if they are not known.
        """
        return {}

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and checks the suite's own data; called before any model is loaded.

        Raises:
            DataError: With all bad rows.
            RecipeError: If a field names neither a stream nor a file.
        """

    def to_forget(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> SourceRows:
        """The rows to forget, for attacks on any model.

        Raises:
            RecipeError: If it has none with true answers, which is the default.
        """
        raise RecipeError(
            f"{self.name}: it has no rows with a true answer that an attack could bring back",
            hint="Give --forget FILE, or another suite, such as copyright.",
        )

    def wordings(
        self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> Mapping[str, str]:
        """Texts that a stream of further wordings must not have, and what they are.

        They are in the form in which texts are compared (`unlearnkit.data.rows.same.plain`). None
        by default.
        """
        return {}

    @abstractmethod
    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model, and leaves it as it was."""

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str | None:
        """Digest of the suite's arguments and of all data that it reads.

        None, the default, means that its results cannot be recognised: it always runs again.
        """
        return None

    def groups(
        self, rows: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Rows with the fields of the metrics, by the stream that their values stand under."""
        return by_stream(rows)

    def metrics_on(self, stream: str) -> dict[str, UnlearningMetric]:
        """Metrics that are measured on a stream."""
        probe = match(self.probes, stream) or Probe(None, ())
        names = self.metrics if probe.metrics is None else probe.metrics
        found = {name: self.metrics.get(name) for name in names}
        return {k: metric for k, metric in found.items() if isinstance(metric, UnlearningMetric)}

    def aggregate(self, rows: Rows) -> dict[str, float | None]:
        """Values of any choice of `run`'s rows, from which intervals are bootstrapped."""
        return self.completed(
            {
                f"{stream}/{name}": metric.of(part)
                for stream, part in self.groups(rows).items()
                for name, metric in self.metrics_on(stream).items()
                if metric.measured_in(part)
            }
        )

    def completed(self, values: dict[str, float | None]) -> dict[str, float | None]:
        """The values of metrics, with derived values added and undefined ones removed."""
        return values

    def add_metrics(self, names: Sequence[str] | None) -> None:
        """Adds metrics of the generated text to all probes.

        Args:
            names: Registered names, or dotted paths of own classes; their constructors get nothing.

        Raises:
            RecipeError: If there is no such metric, or it needs anything else.
        """
        for name in names or ():
            cls: Any = UnlearningMetric.named(name)
            field = f"{self.name}.metrics: '{name}'"
            try:
                metric: UnlearningMetric = cls()
            except TypeError as error:
                raise RecipeError(f"{field} cannot be named alone: {error}") from error
            if more := set(metric.needs) - set(TEXTS):
                raise RecipeError(
                    f"{field} needs {', '.join(sorted(more))}",
                    hint=f"Give metrics that need no more than {', '.join(TEXTS)}.",
                )
            short = metric.registered_name or cls.__name__
            self.metrics = {**self.metrics, short: metric}
            self.probes = {
                stream: probe._replace(metrics=probe.metrics and (*probe.metrics, short))
                for stream, probe in self.probes.items()
            }

    def fill(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Adds the values of all metrics whose inputs are fields of the rows.

        Returns:
            Sentences on the texts that a judge saw in part.
        """
        notes: list[str] = []
        for metric in self.metrics.values():
            if isinstance(metric, UnlearningMetric):
                new = [row for row in rows if not row.keys() >= set(metric.keys)]
                able = [row for row in new if row.keys() >= set(metric.needs)]
                if able and isinstance(metric, Judged):
                    judging = copy.deepcopy(metric)  # The copy is freed after use.
                    judging.fill(able)
                    notes += judging.notes()
                elif able:
                    metric.fill(able)
        return notes

    def left_out(self, rows: Rows) -> list[str]:
        """Sentences on how many rows each metric leaves out, and why."""
        notes: list[str] = []
        for stream, part in self.groups(rows).items():
            for name, metric in self.metrics_on(stream).items():
                held = metric.measured_in(part)
                count = sum(any(row[key] is None for key in metric.keys) for row in held)
                if count:
                    verb = "is" if count == 1 else "are"
                    notes.append(
                        f"{stream}/{name}: {count} of {len(held)} rows {verb} left out: "
                        f"{metric.unmeasured}"
                    )
        return notes

    def at_least_one(self, **fields: int | None) -> None:
        """Refuses numbers below 1.

        Raises:
            RecipeError: With the field and its value.
        """
        for name, value in fields.items():
            if value is not None and value < 1:
                or_null = " or null" if name == "limit" else ""
                raise RecipeError(f"{self.name}: {name} must be at least 1{or_null}, found {value}")
