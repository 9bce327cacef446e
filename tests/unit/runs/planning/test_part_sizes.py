"""Sizes of the parts that a micro-batch is run in."""

from __future__ import annotations

import pytest
from short_fits import objective, qa, stub_data

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.sampled import SampledStream
from unlearnkit.errors import RecipeError
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.planning.part_sizes import Size, answers_of, sizes_of, waits


@pytest.fixture
def forget(written):
    """Rows of two and of four tokens."""
    return qa(written(forget="a:c b:eee") / "forget.jsonl")


def test_a_part_is_counted_packed_and_in_rows(forget) -> None:
    rows = stub_data({"forget": forget}, batch_size=2, shuffle=False)
    rows.check()
    module = UnlearningModule({"forget": objective("gradient_ascent")})
    # The last token, which ends the text, is no input: a c | b e e e.
    assert sizes_of(module, rows, rows.make_plan(), rows=False) == (
        [[Size(tokens=6, responses=6, keys=6, attended=1 + 2 + 1 + 2 + 3 + 4, width=6)]], [],
    )  # fmt: skip
    assert sizes_of(module, rows, rows.make_plan(), rows=True) == (
        [[Size(tokens=8, responses=6, keys=8, attended=8 * 4, width=4)]], [],
    )  # fmt: skip


def test_answers_that_are_not_there_yet_are_named(forget, here) -> None:
    rows = UnlearningDataModule({"forget": forget, "own": SampledStream()})
    rows.check()
    names = {"forget": "gradient_ascent", "own": "retain_nll"}
    losses = {name: objective(kind, stream=name) for name, kind in names.items()}
    _, unknown = sizes_of(UnlearningModule(losses), rows, rows.make_plan(), rows=False)
    assert unknown == ["own"]
    assert [waits(rows.data[name]) for name in ("forget", "own")] == [False, True]
    first, second = (rows.data["forget"].lengths(row, row)[1] for row in (0, 1))
    assert [answers_of(rows.data[name]) for name in ("forget", "own")] == [first + second, 0]
    alone = UnlearningModule({"own": losses["own"]})
    with pytest.raises(RecipeError, match="none has rows before the model has answered"):
        sizes_of(alone, rows, rows.make_plan(), rows=False)
