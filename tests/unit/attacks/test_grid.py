"""The grid: one figure of many attacks, each kept by itself."""

from __future__ import annotations

import pytest
from stub import save_stub, stub_tokenizer

from unlearnkit.attacks import Grid, Noise, Relearn, Target, attack_and_keep
from unlearnkit.attacks.grid import gaps_of, readings
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import UserError
from unlearnkit.suites import SuiteContext

ROWS = [Example((2, 4), (5, 6, 3), 0, "f:0"), Example((2, 5), (4, 3), 1, "f:1")]
EXACT, LEAK = "forget/exact_memorization", "forget/leak_rate"


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """Two models, the rows, and a small grid; the cache is a folder of the test."""
    monkeypatch.setenv("UNLEARNKIT_CACHE", str(tmp_path / "cache"))
    models = {
        name: str(save_stub({"random_init": i}, tmp_path / name))
        for i, name in enumerate(("unlearned", "gold"))
    }
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "relearn: {attack: relearn, rows: 1, steps: 9, at: [1, 2], vary: {lora: [null, 2]}}\n"
        "noise: {attack: noise, vary: {scale: [0.1, 0.5]}}\n"
    )
    target = Target(ROWS, Codec(stub_tokenizer(), 16), SuiteContext(max_length=16))
    return models, target, str(grid), tmp_path / "attacks"


def point(cell, value):
    return {"cell": cell, EXACT: value, LEAK: None}


def test_the_gap_is_that_of_cells_not_of_readings():
    curve = [
        point(None, 1.0),
        point("a, step 5", 0.5),
        point("a, step 9", 0.9),
        point("b, x 1", 1),
    ]
    gold = [point(None, 0.0), point("a, step 5", 0.1), point("a, step 9", 0.1), point("b, x 1", 0)]
    # (0.4 + 0.8) / 2, and 1; the untouched model does not count.
    assert gaps_of(curve, gold) == pytest.approx([0.6, 1.0])
    figures = Grid().figures({"unlearned": curve, "gold": gold})
    assert figures["comes back"] == pytest.approx(0.8)
    # Of two cells, a resample is all one of them in a quarter of the draws.
    assert figures["comes back, 2.5 %"] == pytest.approx(0.6)
    assert figures["comes back, 97.5 %"] == pytest.approx(1.0)
    assert Grid().figures({"unlearned": curve}) == {}
    same = Grid().figures({"unlearned": gold, "gold": gold})
    assert set(same.values()) == {0.0}


def test_rows_that_the_attacker_trained_on_do_not_count():
    curve = [
        {"step": 0, "trained/exact_memorization": 0.0, "others/exact_memorization": 0.25},
        {"step": 5, "trained/exact_memorization": 1.0, "others/exact_memorization": 0.5},
    ]
    assert readings("r", curve, first=True) == [point(None, 0.25), point("r, step 5", 0.5)]
    assert readings("r", curve, first=False) == [point("r, step 5", 0.5)]
    drawn = [{"samples": 1, "forget/leak_rate": 0.5}]
    assert readings("s", drawn, first=False) == [{"cell": "s, samples 1", EXACT: None, LEAK: 0.5}]


def test_a_grid_has_the_attacks_own_curves_and_goes_on_where_it_was(setting, monkeypatch):
    models, target, grid, folder = setting
    attack = Grid(grid=grid, steps=2, limit=1)
    kept = attack_and_keep(attack, target, models, folder).attack
    assert [each["cell"] for each in kept.curves["unlearned"]] == [
        None, "relearn lora=-, step 1", "relearn lora=-, step 2", "relearn lora=2, step 1",
        "relearn lora=2, step 2", "noise scale=0.1, scale 0.1", "noise scale=0.5, scale 0.5",
    ]  # fmt: skip
    for name, base in models.items():
        alone = Relearn(rows=1, steps=2, at=[1, 2], lora=2, limit=1)
        (_, *own) = alone.run(base, alone.prepare(target), target)
        values = [each["others/exact_memorization"] for each in own]
        assert [each[EXACT] for each in kept.curves[name][3:5]] == pytest.approx(values)

    def fail(*_):
        raise AssertionError("it is attacked again")

    monkeypatch.setattr(Noise, "run", fail)
    monkeypatch.setattr(Relearn, "run", fail)
    again = Grid(grid=grid, cells="noise*", limit=1, steps=2)
    curves = attack_and_keep(again, target, models, folder).attack.curves
    assert curves["gold"][1:] == kept.curves["gold"][5:]


def test_time_that_is_over_is_told_and_what_was_found_is_kept(setting, monkeypatch):
    models, target, grid, _ = setting
    attack = Grid(grid=grid, cells="noise*", limit=1, seconds=1e-9)
    with pytest.raises(UserError, match="over after 0 of 2 cells"):
        attack.run(models["gold"], attack.prepare(target), target)
    assert "seconds" not in attack.settings


def test_a_cell_that_a_model_refuses_is_left_out_of_all_and_noted(setting, monkeypatch):
    models, target, grid, folder = setting

    def refuse(self, base, rows, target):
        raise UserError("none of this")

    monkeypatch.setattr(Relearn, "run", refuse)
    kept = attack_and_keep(Grid(grid=grid, limit=1), target, models, folder).attack
    assert "cell relearn lora=2 is left out: none of this" in kept.notes
    assert {len(curve) for curve in kept.curves.values()} == {3}


def test_a_cell_that_does_not_go_with_the_rows_is_named(setting):
    _, target, grid, _ = setting
    text = "relearn: {attack: relearn, rows: 5}"
    with open(grid, "w") as file:
        file.write(text)
    with pytest.raises(UserError, match="cell relearn: --rows: expected 1 to 1"):
        Grid(grid=grid).prepare(target)


@pytest.mark.parametrize("given", [{"steps": 0}, {"seconds": 0.0}, {"limit": 0}])
def test_a_budget_of_nothing_is_refused(given):
    with pytest.raises(UserError, match="expected"):
        Grid(**given)
