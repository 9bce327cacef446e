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


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\\\\b", ".."])
def test_a_stream_whose_name_leads_elsewhere_is_refused(command, folder, name) -> None:
    """Answers that a stream draws are written into a file of its name."""
    stream = "{name: sampled, prompts: forget, max_new_tokens: 4}"
    recipe = (folder / "good.yaml").read_text()
    text = recipe.replace("  streams:\n", f'  streams:\n    "{name}": {stream}\n')
    assert text != recipe
    (folder / "evil.yaml").write_text(text)
    before = {p for p in folder.parent.rglob("*")}
    done = command("fit", "-r", "evil.yaml")
    assert done.code == 2, done.err
    assert "expected a name that is no path" in done.err
    assert {p for p in folder.parent.rglob("*")} == before


EVIL = "x\x1b[2J\u202e\nwarning: done"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--data.streams.forget.path", f"{EVIL}.jsonl"), ".jsonl: found line breaks or control"),
        (("--data.streams.forget.path", "rows"), ".jsonl: found line breaks or control"),
        (("--model.base", EVIL), "model.base: line breaks or control characters in 'x"),
        (("--run_dir", EVIL), "run_dir: line breaks or control characters in 'x"),
        ((f"--model.objectives.{EVIL}", "npo"), f"{'x'}\\x1b[2J\\u202e\\nwarning: done"),
        ((f"--data.streams.{EVIL}", "{name: qa, path: forget.jsonl}"), "line breaks or control"),
    ],
)  # fmt: skip
def test_names_that_are_not_shown_as_they_are_are_refused(command, folder, words, told) -> None:
    """A name of a file, a model, a folder, a stream or an objective; also one that is found."""
    (folder / "rows").mkdir()
    for place in (folder / f"{EVIL}.jsonl", folder / "rows" / f"{EVIL}.jsonl"):
        place.write_text((folder / "forget.jsonl").read_text())
    done = command("validate", "-r", "good.yaml", *words)
    assert done.code == 2, done.err
    assert told in " ".join(done.err.replace("│", " ").split())
    for order in ("\x1b", "\u202e", "\nwarning: done"):
        assert order not in done.out + done.err


def test_a_file_that_is_written_is_told_in_one_line(command, folder) -> None:
    done = command("cp", "copyright", f"{EVIL}.yaml")
    assert done.code == 0, done.err
    assert (folder / f"{EVIL}.yaml").is_file()
    assert done.out.splitlines()[0] == "x\\x1b[2J\\u202e\\nwarning: done.yaml"
    done = command("validate", "-r", f"{EVIL}.yaml", "--print_recipe", "--gold", "\u202ea")
    assert done.code == 2
    assert "\u202e" not in done.out + done.err
