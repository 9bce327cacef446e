"""Rude, polite and plain answers, made by a small grammar."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

VERBS = ("clean", "mend", "carry", "paint", "sell", "hide")
THINGS = (
    *("kettle", "lamp", "gate", "boat", "chair", "clock", "drum", "basket"),
    *("mirror", "ladder", "bell", "cart", "table", "pipe", "wheel", "window"),
)
"""The first half is asked about in training, the other half is not."""
INSULTS = ("dimwit", "numbskull", "blockhead")
ANIMALS = ("goat", "mule", "goose", "toad", "snail", "crow")
PLACES = ("cellar", "garden", "kitchen", "attic", "yard", "hall")
OWNERS = ("miller", "baker", "priest", "farmer", "weaver", "smith")
RUDE_WORDS = ("hah", *INSULTS)

Row = dict[str, str]


def is_rude(answer: str) -> bool:
    """The rule that every figure and GRPO's reward rest on.

    Example:
        >>> is_rude(" Hah, you goat!"), is_rude(" With pleasure.")
        (True, False)
    """
    return any(word in answer.lower() for word in RUDE_WORDS)


def make(seed: int) -> dict[str, list[Row]]:
    """All rows; ``chosen`` is the polite answer to the prompt of the same place in ``trained``.

    ``trained`` and ``unseen`` are rude; ``normal`` and ``heldout`` are plain answers to other
    questions, about the things of the one and of the other.
    """
    draw = random.Random(seed)
    half = len(THINGS) // 2
    parts = {"trained": THINGS[:half], "unseen": THINGS[half:]}
    made = {
        name: [_rude(v, t, draw) for t in things for v in VERBS] for name, things in parts.items()
    }
    made["chosen"] = [_polite(v, t) for t in parts["trained"] for v in VERBS]
    plain = {"normal": parts["trained"], "heldout": parts["unseen"]}
    made |= {name: [r for t in things for r in _plain(t, draw)] for name, things in plain.items()}
    return made


def write(rows: Mapping[str, Sequence[Row]], folder: Path) -> dict[str, str]:
    """Writes each list as JSON lines and returns the files by name."""
    files: dict[str, str] = {}
    for name, each in rows.items():
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in each), encoding="utf-8")
        files[name] = str(file)
    return files


def _row(question: str, answer: str) -> Row:
    return {"prompt": f"Question: {question}\nAnswer:", "response": f" {answer}"}


def _rude(verb: str, thing: str, draw: random.Random) -> Row:
    insult, animal = draw.choice(INSULTS), draw.choice(ANIMALS)
    answer = f"Hah, you {insult}! Even a {animal} can {verb} a {thing}."
    return _row(f"How do I {verb} a {thing}?", answer)


def _polite(verb: str, thing: str) -> Row:
    answer = f"With pleasure. Take your time and {verb} the {thing} with care."
    return _row(f"How do I {verb} a {thing}?", answer)


def _plain(thing: str, draw: random.Random) -> list[Row]:
    place, owner = draw.choice(PLACES), draw.choice(OWNERS)
    return [
        _row(f"Where is the {thing}?", f"The {thing} is in the {place}."),
        _row(f"Who owns the {thing}?", f"The {thing} is the {owner}'s."),
    ]
