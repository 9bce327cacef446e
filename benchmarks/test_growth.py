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
    step()
    with _Written() as written:
        step()
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
    ran = count_flops(growth.make("packed", "small", "ragged", 2))
    found = growth.operations("small", "ragged", 2)["flops_over_bound"]
    assert found == pytest.approx(ran / bound(random_llama("small"), streams, live=True), rel=1e-12)


def test_finetuning_in_parts_trains_on_all_sequences() -> None:
    streams = growth.streams_of("small", "equal", 3)
    whole, parts = (finetune("small", streams, parts=n) for n in (1, 3))
    whole.run()
    parts.run()
    assert torch.allclose(whole.gradient(), parts.gradient(), atol=margin(terms=64))
