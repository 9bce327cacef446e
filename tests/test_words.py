"""The first line of each module says in a few plain words what the module is or does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

# Phrases that sounded translated; CONTRIBUTING.md has the words in their place.
NEVER = re.compile(
    r"gone on with|goes on from (?!here)|go on with\b|made of others|be it as|own part\b"
    r"|looks after the folder|cannot be had|(?:is|are) told(?: of)?[.;]|settings of a draw"
    r"|as if it had not been|\b[Aa] mapping a "
)
PLACES = {
    "unlearnkit": ("*.py", "*.yaml"),
    "docs": ("*.md",),
    "recipes": ("*.yaml",),
    ".": ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "llms.txt"),
}
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


def test_phrases_that_sound_translated_stand_nowhere() -> None:
    files = [
        file
        for folder, patterns in PLACES.items()
        for pattern in patterns
        for file in (
            (ROOT / folder).rglob(pattern) if folder != "." else (ROOT / folder).glob(pattern)
        )
    ]
    assert len(files) > 300
    found = {
        f"{file.relative_to(ROOT)}:{number}": match[0]
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (match := NEVER.search(line))
    }
    assert not found


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("a search that is to be gone on with", True),
        ("the run goes on from its checkpoint", True),
        ("A curve has a mapping a wording", True),
        ("a warning, and that is told.", True),
        ("The text goes on.", False),
        ("the two are told apart", False),
        ("The run continues.", False),
    ],
)
def test_a_phrase_is_refused_or_not(line: str, refused: bool) -> None:
    assert bool(NEVER.search(line)) == refused
