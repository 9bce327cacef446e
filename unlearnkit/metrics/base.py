"""Base classes of metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.registry import Registered

Direction: TypeAlias = Literal["up", "down", "zero", "gold"]
"""Good values: higher, lower, near 0, or near those of the gold model."""
Role: TypeAlias = Literal[
    "forget", "unseen", "retain", "protected", "heldout", "neighbour", "utility"
]
"""What rows of a probe are: the glossary in CONTRIBUTING.md defines each."""
FORGETTING: tuple[Role, ...] = ("forget", "unseen")
"""Roles of rows that ask for what is to be forgotten."""
_NO_ROW = -1


class ByRole(NamedTuple):
    """Directions of a metric on rows to forget and on rows to keep."""

    forget: Direction | None
    keep: Direction | None

    def __str__(self) -> str:
        parts = {"forget": self.forget, "rows to keep": self.keep}
        return "; ".join(f"{rows}: {good}" for rows, good in parts.items() if good)


KNOWLEDGE = ByRole("down", "up")
"""Direction of a metric that is high for a model that knows the rows."""


class UnlearningMetric(Metric, Registered, ABC):
    """A metric over rows, equal on any number of processes.

    Samplers for several processes repeat rows to make the parts equal, and deal them out in turn.
    So an update names its rows, and the result counts each row once, in ascending order: it is
    the same, bit for bit, on one process and on many. Rows without a name are all counted.

    A subclass computes one or more values of each row in `per_row`, and the result from the values
    of all rows in `aggregate`. A suite stores the values of a row under `keys` in its result file
    and aggregates them from there.

    Args:
        **kwargs: Those of `torchmetrics.Metric`, which refuses unknown ones.

    Example:
        >>> class Length(RowMean):
        ...     needs = keys = ("generated",)
        ...     def per_row(self, generated):
        ...         return [len(text) for text in generated]
        >>> Length()(["ab", "abcd"]).item()
        3.0
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """Inputs of `per_row`, in order: fields of a suite's rows, or results of a forward pass."""
    keys: tuple[str, ...] = ()
    """Fields of a suite's rows that hold the values of `per_row`; by default the metric's name."""
    direction: ClassVar[Direction | ByRole | None] = None
    """Good values, on all rows or by role; None if no value is good by itself."""
    headline: ClassVar[int] = 0
    """Rank among the metrics of a suite: the highest speaks for the suite, 0 does not."""
    judges: ClassVar[bool] = True
    """Whether it says what a model knows, not only how its text reads."""
    gold_level: ClassVar[float | None] = None
    """Value from which a model cannot be told from the gold model; None to compare the values."""
    unmeasured: ClassVar[str] = "nothing can be measured"
    """Why a row may have no value."""
    value_range: ClassVar[str] = ""
    """Lowest and highest value."""
    formula: ClassVar[str] = ""
    """The definition in LaTeX; `docs/metrics.md` has the notation."""
    good: ClassVar[str] = ""
    """Which values are good."""
    source: ClassVar[str] = ""
    """Author, year and arXiv number."""
    full_state_update = False
    every_row: ClassVar[bool] = False
    """Whether there is no result if a row has no value; otherwise such rows are left out."""
    rows: list[Tensor]
    values: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys = self.keys or (self.registered_name or type(self).__name__,)
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.add_state("values", [], dist_reduce_fx="cat")

    @classmethod
    def definition(cls) -> str:
        """The first line of the class's docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    @classmethod
    def direction_on(cls, role: Role | None) -> Direction | None:
        """Good values on rows of a role.

        Example:
            >>> from unlearnkit.metrics import Rouge
            >>> Rouge.direction_on("forget"), Rouge.direction_on("heldout")
            ('down', 'up')
        """
        good = cls.direction
        if isinstance(good, ByRole):
            good = good.forget if role in FORGETTING else good.keep
        return None if role is None else good

    def update(self, *inputs: Any, rows: Sequence[int] | None = None) -> None:
        """Takes in some rows.

        Args:
            *inputs: Those of `per_row`, whose names are in `needs`.
            rows: Row indices, or None if no row can come twice.

        Raises:
            ValueError: If values and rows differ in number.
        """
        self.add(self.per_row(*inputs), rows)

    @abstractmethod
    def per_row(self, *inputs: Any) -> Tensor | Sequence[Any]:
        """Values of each row: ``[S]`` or ``[S, len(keys)]``; nan or None if a row has none."""

    @abstractmethod
    def aggregate(self, *columns: Sequence[float]) -> float:
        """The result, from the values of all rows: a column of ``S`` values for each key."""

    def number(self, value: Any) -> float:
        """A value of a row as a number, nan if it has none."""
        return math.nan if value is None else float(value)

    def fields(self, *inputs: Any) -> list[dict[str, Any]]:
        """Values of each row by their keys, as JSON types; None if a row has none."""
        found = self.per_row(*inputs)
        values = found.tolist() if isinstance(found, Tensor) else found
        each = ([v] if len(self.keys) == 1 else v for v in values)
        return [dict(zip(self.keys, map(_known, some), strict=True)) for some in each]

    def fill(self, rows: Sequence[dict[str, Any]]) -> None:
        """Adds the values to a suite's rows, whose own fields are the inputs."""
        columns = [[row[name] for row in rows] for name in self.needs]
        for row, found in zip(rows, self.fields(*columns), strict=True):
            row |= found

    def measured_in(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Rows of a suite that hold the metric's fields."""
        return [row for row in rows if all(key in row for key in self.keys)]

    def of(self, rows: Sequence[Mapping[str, Any]]) -> float | None:
        """The result over a suite's rows; None if there is none or it is infinite."""
        found = self.measured_in(rows)
        result = self._aggregated([[self.number(row[k]) for row in found] for k in self.keys])
        return result if math.isfinite(result) else None

    def add(self, values: Tensor | Sequence[Any], rows: Sequence[int] | None = None) -> None:
        """Takes in the values of some rows.

        Args:
            values: As `per_row` gives them.
            rows: ``S`` row indices, or None if no row can come twice.

        Raises:
            ValueError: If values and rows differ in number.
        """
        if not isinstance(values, Tensor):
            each = [[v] if len(self.keys) == 1 else v for v in values]
            numbers = [list(map(self.number, some)) for some in each]
            values = torch.tensor(numbers, dtype=torch.double)
        # Single precision would make a mean depend on the order of its terms.
        values = values.detach().double().reshape(-1, len(self.keys)).to(self.device)
        if rows is not None and len(rows) != len(values):
            raise ValueError(f"found {len(rows)} rows for the values of {len(values)}")
        named = [_NO_ROW] * len(values) if rows is None else list(rows)
        self.rows.append(torch.tensor(named, dtype=torch.long, device=self.device))
        self.values.append(values)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """As in torchmetrics, which cannot gather from a process without rows."""
        if not len(self.rows):
            self.add(torch.zeros(0, len(self.keys)), [])
        super().sync(*args, **kwargs)

    def row_values(self) -> Tensor:
        """``[S, len(keys)]`` values of each row once, ascending; then those of unnamed rows.

        On several processes these are the rows of this one, except inside `compute`.
        """
        if not len(self.rows):
            return torch.zeros(0, len(self.keys), dtype=torch.double, device=self.device)
        # After a synchronisation a state is one tensor, before it a list of them.
        rows = torch.cat([self.rows] if isinstance(self.rows, Tensor) else self.rows)
        values = torch.cat([self.values] if isinstance(self.values, Tensor) else self.values)
        named = (rows != _NO_ROW).nonzero()[:, 0]
        ordered = named[rows[named].argsort(stable=True)]
        repeated = torch.zeros_like(ordered, dtype=torch.bool)
        repeated[1:] = rows[ordered][1:] == rows[ordered][:-1]
        return torch.cat([values[ordered[~repeated]], values[rows == _NO_ROW]])

    def compute(self) -> Tensor:
        """The result over all rows of all processes; nan without any row."""
        result = self._aggregated(self.row_values().T.tolist())
        return torch.tensor(result, dtype=torch.double, device=self.device)

    def left_out(self) -> int:
        """Number of rows without a value; see `row_values` for which are counted."""
        return int(self.row_values().isnan().any(dim=1).sum())

    def _aggregated(self, columns: Sequence[Sequence[float]]) -> float:
        rows = list(zip(*columns, strict=True))
        whole = [row for row in rows if not any(map(math.isnan, row))]
        if not whole or (self.every_row and len(whole) < len(rows)):
            return math.nan
        return float(self.aggregate(*map(list, zip(*whole, strict=True))))


class RowMean(UnlearningMetric):
    """A metric whose result is the mean over rows; rows without a value (nan) are left out."""

    def aggregate(self, values: Sequence[float]) -> float:
        """Mean over rows."""
        return fmean(values)


class TokenMean(UnlearningMetric):
    """A metric whose result is a mean over all tokens of all rows: sums of rows, and tokens."""

    def aggregate(self, sums: Sequence[float], tokens: Sequence[float]) -> float:
        """Mean over tokens."""
        return sum(sums) / sum(tokens)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
