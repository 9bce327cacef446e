"""The cells of the layouts' benchmark, and what a packed step costs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import layouts
from benchmarks.workload import SHAPES, Shape


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "M", Shape(32, 1, 4, 2, 1024))


class _Operations(TorchDispatchMode):
    """Counts operations that compute or copy, each with the shape of its result."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def _operations(cell: layouts.Cell) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for layout, step in layouts.steps(cell).items():
        step.run()
        with _Operations() as counted:
            step.run()
        found[layout] = counted.found
    return found


def test_cells_are_few_and_bounded() -> None:
    assert len(layouts.CELLS) == len(set(layouts.CELLS)) <= 40
    assert all(cell.tokens <= layouts.TOKENS for cell in (*layouts.CELLS, *layouts.QUICK))
    assert {cell.batch for cell in layouts.CELLS} >= {1, 256}
    assert {cell.answers for cell in layouts.CELLS} >= {1, 5}
    assert {cell.model for cell in layouts.CELLS} == set("MRSV")


def test_rows_of_one_length_are_one_call_of_attention_and_no_further_copy() -> None:
    """As in the layout ``rows``, which is otherwise the faster one: 64 calls before."""
    found = _operations(layouts.Cell("M", 64, 8, 8, 1))
    forward = "_scaled_dot_product_flash_attention_for_cpu"
    for name in (forward, f"{forward}_backward"):
        assert found["packed"][name] == found["rows"][name] == 1
    for name in ("cat", "index_select", "index_add_"):
        assert found["packed"][name] <= found["rows"][name]


def test_answers_of_one_length_are_one_call_beside_their_prompts() -> None:
    """One for all prompts and one for all answers, wherever they lie."""
    found = _operations(layouts.Cell("M", 6, 8, 8, 5))
    assert found["packed"]["_scaled_dot_product_flash_attention_for_cpu"] == 2


def test_auto_takes_rows_where_packing_spares_no_token() -> None:
    taken = {layouts.Cell("M", 4, 8, 8, 1): "rows", layouts.Cell("M", 1, 8, 8, 1): "rows",
             layouts.Cell("M", 4, 8, 8, 2): "packed",
             layouts.Cell("M", 4, 8, 8, 1, ragged=True): "packed"}  # fmt: skip
    assert {cell: layouts.chosen_by_auto(cell) for cell in taken} == taken


def test_a_cell_has_ratios_unless_a_round_takes_too_long() -> None:
    row = layouts.measured(layouts.Cell("M", 2, 8, 8, 2, ragged=True), rounds=1, limit=60.0)
    assert row["auto"] == "packed"
    assert row["auto_over_better"] == pytest.approx(max(1.0, row["packed_over_rows"]))
    assert 0.5 < row["flops_packed_over_rows"] < 1.0
    assert layouts.measured(layouts.Cell("M", 2, 8, 8, 1), rounds=1, limit=0.0)["skipped"]


def test_ragged_lengths_are_drawn_from_half_of_what_is_said() -> None:
    rows = layouts.streams(layouts.Cell("M", 64, 8, 16, 1, ragged=True))["forget"].examples
    assert {len(e.prompt_ids) for e in rows} == set(range(4, 9))
    assert {len(e.response_ids) for e in rows} == set(range(8, 17))


def test_operations_are_those_of_the_linear_layers_where_attention_is_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two prompts of 2 tokens with two answers of 2: a row of each has 3 inputs, packed 2 + 2.

    The head reads the 8 response tokens in both, and in the model's own forward pass one position
    of each row, whose logits nothing reads.
    """
    monkeypatch.setitem(SHAPES, "M", Shape(256, 1, 4, 4, 1024))
    body, head = 4 * 256 * 256 + 3 * 256 * 1024, 256 * 1024
    packed = 6 * (8 * body + 8 * head) + 2 * head
    rows = 6 * (12 * body + 8 * head) + 4 * 2 * head
    found = layouts.operations(layouts.Cell("M", 2, 2, 2, 2))
    assert found == pytest.approx(packed / rows, rel=1e-3)
