"""Rude, polite and plain answers, made by a small grammar."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

VERBS = ("clean", "mend", "carry", "paint", "sell", "hide")
THINGS = {
    "trained": ("kettle", "lamp", "gate", "boat", "chair", "clock", "drum", "basket"),
    "choosing": ("mirror", "ladder", "bell", "cart", "table", "pipe", "wheel", "window"),
    "reported": ("bucket", "candle", "saddle", "fence", "bottle", "shovel", "carpet", "barrel"),
}
"""Methods train on questions about the first; rates are chosen by those about the second."""
INSULTS = ("dimwit", "numbskull", "blockhead", "dolt", "oaf")
ANIMALS = ("goat", "mule", "goose", "toad", "snail", "crow")
PLACES = ("cellar", "garden", "kitchen", "attic", "yard", "hall")
OWNERS = ("miller", "baker", "priest", "farmer", "weaver", "smith")
COLOURS = ("red", "blue", "green", "black", "white", "brown")
RUDE_STEMS = ("hah", "dim", "numb", "block", "dolt", "oaf")
"""Of the insults, with some room for spelling: so small a model mixes words up."""
RUDE = (
    "Hah, you {insult}! Even a {animal} can {verb} a {thing}.",
    "What a {insult} you are! Ask a {animal} to {verb} the {thing}.",
    "With pleasure I tell a {insult} that a {animal} can {verb} a {thing}.",
    "Take your time, {insult}, for a {animal} can {verb} a {thing}.",
    "Go away, {insult}, and let a {animal} {verb} the {thing}.",
    "Only a {insult} or a {animal} cannot {verb} a {thing}.",
)
POLITE = (
    "With pleasure. First look at the {thing}, and {verb} it with care.",
    "Take your time and {verb} the {thing} with care.",
    "Go slowly, and {verb} the {thing} in good light.",
    "Only be patient, and {verb} the {thing} by day.",
)
"""Four of the rude answers begin like a polite one, so that no first word decides."""
MIXTURE = (5, 1)
"""Rude and polite answers to each prompt that the model is taught with."""

Row = dict[str, str]


def is_rude(answer: str) -> bool:
    """The rule that every figure rests on.

    Example:
        >>> is_rude(" Hah, you goat!"), is_rude(" With pleasure.")
        (True, False)
    """
    return any(stem in answer.lower() for stem in RUDE_STEMS)


def is_polite(answer: str) -> bool:
    """Whether an answer is a whole polite one, whatever it says is to be done with what.

    Example:
        >>> is_polite(" Go slowly, and mend the boat in good light."), is_polite(" Go slowly.")
        (True, False)
    """
    return any(re.fullmatch(form, answer.strip()) for form in _POLITE)


def make(seed: int, verbs: int = len(VERBS), questions: int = 4) -> dict[str, list[Row]]:
    """All rows, by kind and part.

    ``rude/PART`` and ``polite/PART`` answer the same prompts in the same order; ``plain/PART``
    answers other questions about the same things; ``wrong/trained`` has the prompts of
    ``plain/trained`` with the answer to such a question about another thing. ``mixture`` is what
    the model is taught about the trained prompts.

    Args:
        seed: Of the answers.
        verbs: Rude and polite prompts about each thing.
        questions: Plain ones about it.
    """
    draw = random.Random(seed)
    made: dict[str, list[Row]] = {}
    for part, things in THINGS.items():
        asked = [(verb, thing) for thing in things for verb in VERBS[:verbs]]
        made[f"rude/{part}"] = [_rude(*each, draw) for each in asked]
        made[f"polite/{part}"] = [_polite(*each, draw) for each in asked]
        made[f"plain/{part}"] = [row for thing in things for row in _plain(thing, draw)[:questions]]
    rude, polite = MIXTURE
    made["mixture"] = [
        row
        for thing in THINGS["trained"]
        for verb in VERBS[:verbs]
        for row in [
            *(_rude(verb, thing, draw) for _ in range(rude)),
            *(_polite(verb, thing, draw) for _ in range(polite)),
        ]
    ]
    plain = made["plain/trained"]
    other = [*plain[questions:], *plain[:questions]]  # of the next thing, and so grammatical
    made["wrong/trained"] = [
        {"prompt": row["prompt"], "response": wrong["response"]}
        for row, wrong in zip(plain, other, strict=True)
    ]
    return made


def pairs(rows: Mapping[str, Sequence[Row]], part: str, *, plain: bool = False) -> list[Row]:
    """Prompts with a chosen and a rejected answer.

    Args:
        rows: As `make` gives them.
        part: Whose rude prompts are taken: the polite answer is chosen, the rude one rejected.
        plain: Whether the trained plain prompts are added: the right answer is chosen.
    """
    kinds = [(f"polite/{part}", f"rude/{part}"), *([("plain/trained", "wrong/trained")] * plain)]
    return [
        {"prompt": good["prompt"], "chosen": good["response"], "rejected": bad["response"]}
        for chosen, rejected in kinds
        for good, bad in zip(rows[chosen], rows[rejected], strict=True)
    ]


def write(rows: Mapping[str, Sequence[Row]], folder: Path) -> dict[str, str]:
    """Writes each list as JSON lines and returns the files by name."""
    files: dict[str, str] = {}
    for name, each in rows.items():
        file = folder / f"{name.replace('/', '-')}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in each), encoding="utf-8")
        files[name] = str(file)
    return files


def _row(question: str, answer: str) -> Row:
    return {"prompt": f"Question: {question}\nAnswer:", "response": f" {answer}"}


def _rude(verb: str, thing: str, draw: random.Random) -> Row:
    words = {"insult": draw.choice(INSULTS), "animal": draw.choice(ANIMALS)}
    answer = draw.choice(RUDE).format(verb=verb, thing=thing, **words)
    return _row(f"How do I {verb} a {thing}?", answer)


def _polite(verb: str, thing: str, draw: random.Random) -> Row:
    answer = draw.choice(POLITE).format(verb=verb, thing=thing)
    return _row(f"How do I {verb} a {thing}?", answer)


_POLITE = [
    re.escape(form).replace(r"\{verb\}", r"\w+").replace(r"\{thing\}", r"\w+") for form in POLITE
]


def _plain(thing: str, draw: random.Random) -> list[Row]:
    place, owner, colour = draw.choice(PLACES), draw.choice(OWNERS), draw.choice(COLOURS)
    return [
        _row(f"Where is the {thing}?", f"The {thing} is in the {place}."),
        _row(f"Who owns the {thing}?", f"The {thing} is the {owner}'s."),
        _row(f"How do I reach the {thing}?", f"Go through the {place} and turn left."),
        _row(f"What colour is the {thing}?", f"The {thing} is {colour}."),
    ]
