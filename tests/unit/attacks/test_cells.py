"""Grids as data: what is varied, what is left out, and what is refused by its name."""

from __future__ import annotations

import pytest

from unlearnkit.attacks.cells import chosen_cells, read_cells
from unlearnkit.attacks.grid import attack_of
from unlearnkit.errors import UserError


def test_the_shipped_grid_is_that_of_the_docs():
    cells = read_cells(None, {"domain": "retain", "benign": "b.jsonl"})
    relearn = [name for name in cells if name.startswith("relearn")]
    assert (len(relearn), len(cells)) == (18, 26)
    cell = cells["relearn lr=0.0003 lora=8 data=domain"]
    assert cell == {
        "attack": "relearn", "steps": 100, "at": [5, 20, 100], "lr": 3e-4, "lora": 8,
        "data": "retain",
    }  # fmt: skip
    assert all(attack_of(each).settings for each in cells.values())


def test_cells_of_a_word_that_stands_for_nothing_are_left_out():
    cells = read_cells(None, {"domain": None, "benign": "b.jsonl"})
    assert len(cells) == 26 - 6
    assert not any("data=domain" in name for name in cells)


def test_cells_are_chosen_by_their_names():
    cells = {"relearn lr=0.1": 1, "relearn lr=0.2": 2, "noise": 3}
    assert list(chosen_cells(cells, "noise, *0.2")) == ["relearn lr=0.2", "noise"]
    assert chosen_cells(cells, None) == cells
    with pytest.raises(UserError, match="no cell is called nosie"):
        chosen_cells(cells, "noise,nosie")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "cannot be read"),
        ("a: &a [*a]", r"cannot be read: the alias '\*a' inside of what"),
        ("- a", "expected a mapping of names"),
        ("a: {attack: nope}", "a: expected a mapping with attack, one of"),
        ("a: {attack: grid}", "a: expected a mapping with attack, one of"),
        ("a: {attack: noise, size: 1}", "noise has no option size"),
        ("a: {attack: noise, vary: {scale: 0.1}}", "a.vary: expected options with lists"),
        ("a: {attack: noise, vary: {size: [1]}}", "noise has no option size"),
    ],
)
def test_a_file_that_is_no_grid_is_refused(tmp_path, text, said):
    file = tmp_path / "grid.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=said):
        read_cells(str(file), {})
    with pytest.raises(UserError, match="cannot be read"):
        read_cells(str(tmp_path / "none.yaml"), {})
