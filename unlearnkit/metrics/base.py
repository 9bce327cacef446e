"""What all metrics have in common: one value a row, each row once, in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from unlearnkit.registry import Registered

_NO_ROW = -1


class UnlearningMetric(Metric, Registered, ABC):
    """A metric over rows, correct on any number of processes.

    Samplers for several processes repeat rows to make the parts equal, and deal them out in turn.
    So an update names the rows it holds, and the result counts each row once, in ascending order:
    it is the same, bit for bit, on one process and on many. Rows without a name are all counted.

    A subclass turns its input into one or more figures a row (`update`, through `add`), and the
    figures of all rows into the result (`aggregate`).

    Args:
        **kwargs: Those of `torchmetrics.Metric`, which refuses unknown ones.
    """

    value_range: ClassVar[str] = ""
    """Lowest and highest value."""
    formula: ClassVar[str] = ""
    """The definition in LaTeX; `docs/metrics.md` has the notation."""
    direction: ClassVar[str] = ""
    """Where it should go, on rows to forget and on rows to keep."""
    good: ClassVar[str] = ""
    """Which values are good."""
    source: ClassVar[str] = ""
    """Author, year and arXiv number."""
    full_state_update = False
    columns: ClassVar[int] = 1
    """Figures of one row."""
    rows: list[Tensor]
    figures: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.add_state("figures", [], dist_reduce_fx="cat")

    @classmethod
    def definition(cls) -> str:
        """The first line of the class's docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    def add(self, figures: Tensor, rows: Sequence[int] | None = None) -> None:
        """Takes in the figures of some rows.

        Args:
            figures: ``[S]``, or ``[S, columns]``.
            rows: ``S`` row indices, or None where no row can come twice.

        Raises:
            ValueError: If figures and rows differ in number.
        """
        figures = figures.detach().reshape(-1, self.columns).to(self.device)
        if rows is not None and len(rows) != len(figures):
            raise ValueError(f"found {len(rows)} rows for the figures of {len(figures)}")
        named = [_NO_ROW] * len(figures) if rows is None else list(rows)
        self.rows.append(torch.tensor(named, dtype=torch.long, device=self.device))
        # Single precision would make a mean depend on the order of its terms.
        self.figures.append(figures.double())

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """As in torchmetrics, which cannot gather from a process without rows."""
        if not len(self.rows):
            self.add(torch.zeros(0, self.columns), [])
        super().sync(*args, **kwargs)

    def per_row(self) -> Tensor:
        """``[S, columns]`` figures of each row once, ascending; then those of unnamed rows.

        On several processes these are the rows of this one, except inside `compute`.
        """
        if not len(self.rows):
            return torch.zeros(0, self.columns, dtype=torch.double, device=self.device)
        # After a synchronisation a state is one tensor, before it a list of them.
        rows = torch.cat([self.rows] if isinstance(self.rows, Tensor) else self.rows)
        figures = torch.cat([self.figures] if isinstance(self.figures, Tensor) else self.figures)
        named = (rows != _NO_ROW).nonzero()[:, 0]
        ordered = named[rows[named].argsort(stable=True)]
        repeated = torch.zeros_like(ordered, dtype=torch.bool)
        repeated[1:] = rows[ordered][1:] == rows[ordered][:-1]
        return torch.cat([figures[ordered[~repeated]], figures[rows == _NO_ROW]])

    def compute(self) -> Tensor:
        """The result over all rows of all processes; nan without any row."""
        figures = self.per_row()
        if not len(figures):
            return torch.tensor(float("nan"), dtype=torch.double, device=self.device)
        return self.aggregate(figures)

    def left_out(self) -> int:
        """Rows in which there was nothing to measure; see `per_row` for which are counted."""
        return int(self.per_row().isnan().any(dim=1).sum())

    @abstractmethod
    def aggregate(self, figures: Tensor) -> Tensor:
        """``[S, columns] -> []`` in double precision."""


class RowMean(UnlearningMetric):
    """A metric whose result is the mean over rows; rows without a figure (nan) are left out."""

    def aggregate(self, figures: Tensor) -> Tensor:
        """Mean over rows."""
        return figures[:, 0].nanmean()


class TokenMean(UnlearningMetric):
    """A metric whose result is a mean over all tokens of all rows."""

    columns = 2

    def add_tokens(
        self, values: Tensor, sequence: Tensor, sequences: int, rows: Sequence[int] | None
    ) -> None:
        """Takes in one value a token: ``[N]``, ``[N]``, with ``sequences`` rows."""
        sums = torch.zeros(sequences, 2, dtype=torch.double, device=values.device)
        both = torch.stack([values.detach().double(), torch.ones_like(values).double()], dim=1)
        self.add(sums.index_add(0, sequence, both), rows)

    def aggregate(self, figures: Tensor) -> Tensor:
        """Mean over tokens."""
        total, count = figures.sum(0)
        return total / count
