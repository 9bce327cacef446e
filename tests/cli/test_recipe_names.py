"""The name of a recipe's file stays inside of the run folder, and is text."""

from __future__ import annotations

import pytest

from unlearnkit.cli.recipe.shipped import recipe_name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mine.yaml", "mine"),
        ("é 1+2.yaml", "é 1+2"),
        ("...yaml", "recipe"),
        ("..yaml", "recipe"),
        (".yaml", "yaml"),
        ("a\x1b[2Jb.yaml", "a_[2Jb"),
        ("a\u202eb\n.yaml", "a_b_"),
        ("<b>|\\.yaml", "<b>|_"),
    ],
)
def test_names_of_recipes(folder, file, name) -> None:
    assert recipe_name(folder / file) == name


@pytest.mark.parametrize("file", ["...yaml", "a\x1b[2J\u202eb.yaml"])
def test_a_run_of_such_a_file_stays_inside(command, folder, file) -> None:
    text = (folder / "good.yaml").read_text().replace("model:\n", "model:\n  base: tiny\n")
    (folder / file).write_text(text)
    before = {p for p in folder.parent.iterdir()}
    done = command("fit", "-r", file)
    assert done.code == 0, done.err
    assert "\x1b[2J" not in done.out + done.err
    assert "\u202e" not in done.out + done.err
    assert len(list((folder / "runs").glob("*/*/summary.json"))) == 1
    assert {p for p in folder.parent.iterdir()} == before
