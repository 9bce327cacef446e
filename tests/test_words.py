"""The first line of each module says in a few plain words what the module is or does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RIDDLE = re.compile(r"(Whether|What|How|Where|Which|Who|When)\b")
FEWEST_WORDS, MOST_WORDS = 2, 12


def _faults(head: str) -> list[str]:
    """What keeps a first line from being a noun phrase or a verb in the third person."""
    words = len(head.split())
    faults = [] if words <= MOST_WORDS else [f"has more than {MOST_WORDS} words"]
    if words < FEWEST_WORDS:
        faults.append(f"has fewer than {FEWEST_WORDS} words")
    if not head.endswith("."):
        faults.append("does not end in a full stop")
    if RIDDLE.match(head):
        faults.append("asks instead of naming")
    return faults


def _heads(folder: str) -> dict[str, str]:
    return {
        str(file.relative_to(ROOT)): (
            ast.get_docstring(ast.parse(file.read_text())) or ""
        ).partition("\n")[0]
        for file in sorted((ROOT / folder).rglob("*.py"))
    }


@pytest.mark.parametrize("folder", ["unlearnkit", "benchmarks", "tools"])
def test_heads_of_modules_are_short_and_name_the_module(folder: str) -> None:
    heads = _heads(folder)
    assert len(heads) > 3
    assert not {file: faults for file, head in heads.items() if (faults := _faults(head))}


@pytest.mark.parametrize(
    ("head", "faults"),
    [
        ("Checks that weights are finite.", 0),
        ("Whether weights are numbers.", 1),
        ("A model made of others", 1),
        ("One two three four five six seven eight nine ten eleven twelve thirteen.", 1),
        ("", 2),
        (".", 1),
        ("Models.", 1),
    ],
)
def test_a_riddle_and_a_head_of_wrong_length_are_noticed(head: str, faults: int) -> None:
    assert len(_faults(head)) == faults
