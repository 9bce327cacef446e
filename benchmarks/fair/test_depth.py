"""The table of attacked models, and what of it is made anew."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.fair import depth
from benchmarks.fair.depth import Attacker
from benchmarks.fair.methods import METHODS
from benchmarks.fair.running import KEY, Bench, digest_of
from benchmarks.stored import Results
from unlearnkit.attacks import Grid
from unlearnkit.attacks import grid as grids
from unlearnkit.errors import UserError

STEP = "relearn lr=0.0003 lora=- data=-, step 20"


@pytest.fixture
def results(tmp_path):
    """Two methods of two seeds and one; the third training of `idk` diverged."""
    found = Results(tmp_path / "fair.jsonl", KEY)
    kept = {"utility/model_utility": 0.8, "neighbour/rougeL_recall": 1.0}
    values = {"forget/ks_distance": 0.7, "forget/exact_memorization": 1.0, **kept}
    for name, known in (("before", 1.0), ("gold", 0.5)):
        found.put({"kind": "stage", "method": name, "number": 0,
                   "values": {**values, "forget/exact_memorization": known},
                   "figures": kept})  # fmt: skip
    for name, seeds in (("idk", 3), ("ceu", 1)):
        found.put({"kind": "trial", "method": name, "number": 0, "values": values})
        for seed in range(seeds):
            figures = {"utility/model_utility": 0.8, "forget/ks_distance": 0.3,
                       "neighbour/rougeL_recall": 0.5 if name == "ceu" else 1.0}  # fmt: skip
            found.put({"kind": "seed", "method": name, "number": seed, "trials": 1, "settings": {},
                       "figures": None if seed == 2 else figures})  # fmt: skip
    return found


def put(results, name, number, comes_back, known):
    results.put({"kind": "depth", "method": name, "number": number, "digest": "", "cells": "",
                 "readings": {"as it is": known, STEP: known + 0.2},
                 "gold": {"as it is": 0.4, STEP: 0.5}, "comes back": comes_back,
                 "comes back, 2.5 %": comes_back - 0.1,
                 "comes back, 97.5 %": comes_back + 0.1})  # fmt: skip


def test_of_which_least_comes_back_stands_first_with_means_over_seeds(results, monkeypatch):
    monkeypatch.setattr(depth, "SHOWN", {"as it is": None, "relearned": STEP, "4 bits": "none"})
    put(results, "before", 0, 0.5, 1.0)
    put(results, "idk", 0, 0.2, 0.5)
    put(results, "idk", 1, 0.4, 0.7)
    put(results, "ceu", 0, 0.1, 0.6)
    lines = depth.table(results.path).splitlines()
    assert lines[2:] == [
        "| gold: never saw the authors | 0.40 | 0.50 | - | 0 |  |  |  |",
        "| `ceu` | 0.60 | 0.80 | - | 0.10 | 0.00 to 0.20 | no | 1 |",
        "| `idk` | 0.60 | 0.80 | - | 0.30 ± 0.14 | 0.10 to 0.50 | yes | 2 |",
        "| before unlearning | 1.00 | 1.20 | - | 0.50 | 0.40 to 0.60 |  |  |",
    ]


def test_without_an_attack_the_page_says_so(results):
    assert depth.table(results.path) == "Not run yet.\n"


@pytest.fixture
def attacker(results, monkeypatch):
    """An attacker without models, and the names of those that it was given."""
    given = []
    found = Attacker.__new__(Attacker)
    found.bench, found.cells = Bench(results, None), "noise"  # pyright: ignore[reportArgumentType]

    def make(method, settings, seed, folder):
        return f"{method.recipe} {seed}", 1.0

    def attack(self, model):
        given.append(model)
        return {"readings": {}, "gold": {}, "comes back": 0.1}

    monkeypatch.setattr(depth, "make", make)
    monkeypatch.setattr(Attacker, "attack", attack)
    return found, given


def test_what_was_attacked_is_not_attacked_again_until_it_is_made_of_something_else(
    attacker, results
):
    found, given = attacker
    first = found.run("idk", 1)
    assert first["digest"] == digest_of(METHODS["idk"], {}, None)
    assert found.run("idk", 1) == first
    assert given == ["methods/idk 1"]
    line = results.get("seed", "idk", 1)
    results.put({**line, "settings": {"model.optimizer.lr": 0.001}})
    found.run("idk", 1)
    found.cells = "prune"
    found.run("idk", 1)
    assert given == ["methods/idk 1"] * 3
    found.run("before", 0)
    assert given[3:] == [depth.BASE]


def test_a_seed_that_diverged_or_was_not_run_has_no_attack(attacker):
    found, given = attacker
    assert found.run("idk", 2) is None
    assert found.run("idk", 3) is None
    assert found.run("simnpo", 0) is None
    assert given == []


def test_cells_that_a_model_refuses_are_left_out_after_gold_has_them(monkeypatch):
    tried = []

    class Cell:
        def __init__(self, options):
            self.name = options["attack"]

        def prepare(self, target):
            return target

    def curve(cell, target, model):
        tried.append((model, cell.name))
        if (model, cell.name) == ("composite", "noise"):
            raise UserError("no adapter goes on it")
        known = 0.5 if model == depth.GOLD else 0.8
        return [{"sigma": sigma, "others/exact_memorization": known} for sigma in (0, 1)]

    monkeypatch.setattr(grids, "attack_of", Cell)
    monkeypatch.setattr(grids, "_kept_curve", curve)
    attacker = Attacker.__new__(Attacker)
    attacker._grid, attacker._gold = Grid(cells="noise,prefix"), None
    attacker._target = SimpleNamespace(context=SimpleNamespace(data={}))  # pyright: ignore
    for model, cells in (("composite", {"prefix"}), ("whole", {"noise", "prefix"})):
        found = attacker.attack(model)
        assert {name.partition(",")[0] for name in found["readings"]} == {"as it is", *cells}
        assert found["comes back"] == pytest.approx(0.3)
    assert [name for model, name in tried if model == depth.GOLD] == ["noise", "prefix"]
