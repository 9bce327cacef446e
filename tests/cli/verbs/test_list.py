"""`unlearnkit list` alone: what lists there are, and what is in each."""

from unlearnkit.attacks import Attack
from unlearnkit.cli.verbs.list import LISTS
from unlearnkit.edits import Edit


def test_the_word_alone_shows_all_names(command):
    done = command("list")
    assert done.code == 0, done.err
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert set(LISTS) <= set(lines)
    assert ", ".join(Edit.registered()) in lines["edits"]
    assert "unlearnkit list WHAT" in done.out


def test_attacks_are_listed_with_what_they_do(command):
    said = command("list", "attacks").out
    assert all(name in said for name in Attack.registered())
    assert "Draw several answers to each prompt" in said
