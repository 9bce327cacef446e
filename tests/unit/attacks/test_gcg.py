"""Searched suffixes: slopes against finite differences, what is asked, and what is refused."""

from __future__ import annotations

import pytest
import torch
from edited import whp_model
from rounding import margin
from stub import save_stub, stub_model, stub_tokenizer

from unlearnkit.attacks import GCG, Target, gcg
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import UserError
from unlearnkit.suites import SuiteContext

ROWS = [
    Example((2, 4), (5, 3), 0, "f:0"),
    Example((4,), (6, 7, 3), 1, "f:1"),
    Example((5, 6), (4, 3), 2, "f:2"),
]
SMALL = {"rows": 2, "steps": 3, "length": 2, "candidates": 4, "top": 3}


def _target() -> Target:
    return Target(ROWS, Codec(stub_tokenizer(), 32), SuiteContext(max_length=32))


def test_slopes_are_those_of_the_embedded_suffix() -> None:
    """By a finite difference along the line from one token's embedding to another's."""
    model = stub_model({"random_init": 1}).double().requires_grad_(False)
    attack, suffix = GCG(**SMALL), torch.tensor([5, 8])
    slopes = attack._slopes(model, ROWS[:2], suffix)
    weight = model.get_input_embeddings().weight
    kept = weight[8].clone()
    values = []
    for step in (1e-3, -1e-3):  # token 8 stands nowhere else
        weight[8] = kept + step * (weight[4] - kept)
        values.append(attack._loss(model, ROWS[:2], suffix))
        weight[8] = kept
    expected = (values[0] - values[1]) / 2e-3
    assert (slopes[1, 4] - slopes[1, 8]).item() == pytest.approx(expected, rel=2e-3)
    assert abs(expected) > margin(1.0)


def test_the_loss_falls_and_the_other_rows_are_asked_with_the_suffix(tmp_path, monkeypatch) -> None:
    base = str(save_stub({"random_init": 1}, tmp_path / "base"))
    asked = []
    monkeypatch.setattr(
        gcg, "measured", lambda model, tokenizer, rows, context: asked.append(rows) or {}
    )
    attack, target = GCG(**SMALL), _target()
    split = attack.prepare(target)
    curve = attack.run(base, split, target)
    assert [point["steps"] for point in curve] == [0, 3]
    (plain,), (suffixed,) = asked
    assert plain == split.others[0]
    suffix = suffixed.prompt_ids[len(plain.prompt_ids) :]
    assert len(suffix) == 2
    assert not set(suffix) & set(stub_tokenizer().all_special_ids)
    again = attack.run(base, split, target)
    assert again == curve
    model = stub_model({"random_init": 1})
    found = attack._loss(model, split.held, torch.tensor(suffix))
    assert found == pytest.approx(curve[1]["loss"], abs=margin(8.0))
    longer = GCG(**{**SMALL, "steps": 8}).run(base, split, target)
    assert longer[1]["loss"] <= curve[1]["loss"]


def test_models_made_of_models_are_refused(tmp_path) -> None:
    target = _target()
    parts = [str(save_stub({"random_init": seed}, tmp_path / str(seed))) for seed in (1, 2)]
    base = str(whp_model(*parts, tmp_path / "out"))
    with pytest.raises(UserError, match="a model made of models has several"):
        GCG(**SMALL).run(base, GCG(**SMALL).prepare(target), target)


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(UserError, match="--steps: expected 1 or more, found 0"):
        GCG(steps=0)


def test_a_suffix_that_only_does_harm_is_not_asked_with(monkeypatch) -> None:
    attack, allowed = GCG(**SMALL), torch.arange(12) > 3
    losses = iter([1.0, *[2.0] * 13])  # without a suffix, then of each that is tried
    monkeypatch.setattr(attack, "_loss", lambda *_: next(losses))
    monkeypatch.setattr(attack, "_slopes", lambda *_: torch.zeros(2, 12))
    assert attack._searched(None, ROWS, allowed) == (1.0, (), 1.0)
