"""The operations of a packed step grow with its tokens alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import growth
from benchmarks.workload import SHAPES


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


def test_what_a_step_writes_grows_with_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gather for each part wrote, in its backward pass, a gradient of the whole row each."""
    small = SHAPES["R"]._replace(hidden=48, layers=1, vocabulary=512)
    monkeypatch.setitem(SHAPES, "small", small)
    assert _written(16) <= 1.05 * _written(4)
