"""The operations of a packed step grow with its tokens alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rounding import margin
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import growth
from benchmarks.flops import count_flops
from benchmarks.variants import finetune
from benchmarks.workload import SHAPES, bound, random_llama


class _Written(TorchDispatchMode):
    """Counts the elements that operations give back."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.elements += sum(t.numel() for t in tree_leaves(found) if isinstance(t, torch.Tensor))
        return found


def _written(batch: int) -> float:
    """Elements written by a step, a row."""
    step = growth.make("packed", "small", "equal", batch)
    step.run()
    with _Written() as written:
        step.run()
    return written.elements / batch


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small = SHAPES["R"]._replace(hidden=48, layers=1, vocabulary=512)
    monkeypatch.setitem(SHAPES, "small", small)


def test_what_a_step_writes_grows_with_its_rows() -> None:
    """A gather for each part wrote, in its backward pass, a gradient of the whole row each."""
    assert _written(16) <= 1.05 * _written(4)


def test_a_cell_has_times_operations_and_ratios() -> None:
    row = growth.cell("small", "ragged", 2, rounds=1)
    assert row["packed_over_rows"] == pytest.approx(row["packed_seconds"] / row["rows_seconds"])
    assert row["growth"] == 1.0
    assert 1.0 < row["flops_over_bound"] < 2.0  # attention counts for much in so narrow a model
    assert row["flops_over_finetune"] < 0.6


@pytest.mark.parametrize("batch", [4, 32, pytest.param(128, marks=pytest.mark.slow)])
def test_operations_stay_near_the_bound_at_every_batch(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted on shapes alone."""
    monkeypatch.setitem(SHAPES, "R", SHAPES["R"]._replace(layers=1))
    found = growth.operations("R", "ragged", batch)
    assert found["flops_over_bound"] <= 1.06
    assert found["flops_over_finetune"] <= 0.50


def test_operations_counted_on_shapes_are_those_that_run() -> None:
    streams = growth.streams_of("small", "ragged", 2)
    ran = count_flops(growth.make("packed", "small", "ragged", 2).run)
    found = growth.operations("small", "ragged", 2)["flops_over_bound"]
    assert found == pytest.approx(ran / bound(random_llama("small"), streams, live=True), rel=1e-12)


def test_finetuning_in_parts_trains_on_all_sequences() -> None:
    streams = growth.streams_of("small", "equal", 3)
    whole, parts = (finetune("small", streams, parts=n) for n in (1, 3))
    whole.run()
    parts.run()
    assert torch.allclose(whole.gradient(), parts.gradient(), atol=margin(terms=64))


def test_growth_is_the_time_a_row_over_that_of_the_first_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight rows take 10 s and two take 2 s: 1.25 s a row over 1 s."""
    monkeypatch.setattr(growth, "operations", lambda *_: {})
    found = {2: 2.0, 8: 10.0}
    clock = [0.0]
    monkeypatch.setattr(growth.time, "process_time", lambda: clock[0])
    ran: list[int] = []

    def make(variant: str, model: str, workload: str, batch: int) -> growth.Timed:
        def run() -> None:
            # The first run of a step touches its memory, and is slow.
            clock[0] += found[batch] * (1 if batch in ran or batch == 8 else 5)
            ran.append(batch)

        return growth.Timed(run)

    monkeypatch.setattr(growth, "make", make)
    row = growth.cell("small", "equal", 8, rounds=2, first=2, variants=("packed",))
    assert row["growth"] == row["growth_a_token"] == 1.25
    # It warms up once; then three runs of it count beside each step of eight rows.
    assert ran == [2, *(8, 2, 2, 2) * 2]


def test_parts_of_finetuning_that_are_run_stand_for_all() -> None:
    """Of 21 rows in parts of three, two are run: rows 0 to 2 and 9 to 11, of equal positions."""
    streams = growth.streams_of("small", "equal", 3)
    whole = growth.finetuning("small", streams, parts=7)
    some = growth.finetuning("small", streams, parts=7, timed=2)
    assert whole.times == 1.0
    assert some.times == 3.5
    assert count_flops(whole.run) == 3.5 * count_flops(some.run)
    assert some.warm is not None
    assert count_flops(some.warm) == count_flops(some.run) / 2
