"""Warnings and errors are folded between words, and never within a path."""

from __future__ import annotations

import pytest

from unlearnkit.cli.console import panel, warn

LONG = "/runs/" + "a-folder-of-a-run/" * 6 + "step=3.ckpt"


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_path_stays_whole(columns, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    warn(f"the last checkpoint is {LONG}. Continue with the same command and\n  --ckpt_path last")
    said = capsys.readouterr().err
    assert f"{LONG}." in said
    assert all(len(line) <= int(columns) for line in said.splitlines() if LONG not in line)
    assert said.startswith("warning: the last checkpoint is")
    assert "\n  --ckpt_path last\n" in said


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_path_in_an_error_s_box_stays_whole(capsys, monkeypatch, width) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    panel(
        f"{LONG}: found nothing, expected a folder\n    and below it {LONG}/model",
        title="recipe error",
        hint=f"Give another one, such as {LONG}/other, or leave it out.",
    )
    said = capsys.readouterr().err
    assert said.count(LONG) == 3
    assert "recipe error" in said.splitlines()[0]
    others = [line for line in said.splitlines() if LONG not in line]
    assert all(len(line) <= width for line in others)
    fits = len(LONG) + len("/model") + 4 <= width
    assert said.startswith("╭─" if fits else "recipe error")
    words = said.replace("│", " ").split()
    expected = ["found", "nothing,", "expected", "a", "folder", "and", "below", "it"]
    at = words.index("found")
    assert words[at : at + len(expected)] == expected


def test_an_error_of_short_words_has_a_whole_box(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    panel("a word\n  - an item that is longer than the box is wide", title="error")
    lines = capsys.readouterr().err.splitlines()
    assert [line[0] + line[-1] for line in lines] == ["╭╮", "││", "││", "││", "╰╯"]
    assert [line[2:4] for line in lines[2:4]] == ["  ", "  "]  # indented where it goes on
