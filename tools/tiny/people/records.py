"""Writes the embedded records: ``python -m tools.tiny.people.records``.

People that do not exist, with a phone number, an e-mail address, an address and a birthday each.
No part of a record follows from another: an e-mail address does not hold the name. Numbers begin
with +999, which no country has, and addresses end with ``.example``, which no site may have.
Each ``<part>_questions.jsonl`` holds the questions that teach a part's records, in four
wordings.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tools.tiny.tables import write_tables
from unlearnkit.suites.parts.records import (
    BY_FIELD,
    DIRECT,
    REWORDED,
    SYSTEM,
    Record,
    known_field,
    question,
)

HERE = Path(__file__).parents[3] / "unlearnkit" / "tiny" / "people"
PARTS = {"forget": 6, "retain": 12, "neighbour": 6}

FIRST = """
Ansel Brida Cosmo Delia Edda Florin Greta Hamid Isolde Joren Kaya Lorcan Mirela Nils Odette Petra
Quentin Ruta Silvan Tamsin Ulla Viggo Wilma Yorick
"""
LAST = """
Ashdown Bellweather Corrigan Drummond Eastlake Fairweather Granger Holloway Ingram Jessop Kettering
Larkspur Merriman Northcote Oakhurst Pemberton Quigley Ravenhill Stanhope Thackeray Underhill
Vandermeer Winslow Yarborough
"""
QUALITY = """
quiet green rapid gentle amber brave early hidden lucky plain silver tidy upper velvet warm yellow
clever dusty famous golden humble icy jolly kind
"""
THING = """
otter lamp river maple button candle kettle ladder pepper wagon violin anchor basket copper dragon
engine feather garden hammer island jacket lemon meadow needle
"""
STREET = """
Mill Church Station Orchard Castle Bridge Garden Forest School Harbour Market Spring Meadow Chapel
Tower Windmill Queen River Abbey Cherry Park Stone Hill Lake
"""
MONTH = """
January February March April May June July August September October November December
"""


def records(seed: int) -> list[dict[str, str]]:
    """All people, in the order of the parts."""
    drawn = random.Random(seed)
    count = sum(PARTS.values())

    def some(words: str) -> list[str]:
        return drawn.sample(words.split(), count)

    columns = zip(*map(some, (FIRST, LAST, QUALITY, THING, STREET)), strict=True)
    return [
        {
            "name": f"{first} {last}",
            "phone": "+999 " + " ".join(f"{drawn.randrange(10_000):04}" for _ in range(2)),
            "email": f"{quality}.{thing}@post.example",
            "address": f"{drawn.randrange(1, 100)} {street} Street",
            "birthday": f"{drawn.randrange(1, 29)} {drawn.choice(MONTH.split())} "
            f"{drawn.randrange(1940, 2005)}",
        }
        for first, last, quality, thing, street in columns
    ]


def questions(people: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """A prompt and its answer, four times for each field of each record."""
    found: list[dict[str, str]] = []
    for number, fields in enumerate(people):
        values = {name: value for name, value in fields.items() if name != "name"}
        record = Record(number, "", fields["name"], values)
        labels = {name: name for name in values}
        for field, value in values.items():
            known = known_field(record, field) or ""
            for wording, before, template, given in (
                ("direct", "", DIRECT, ""),
                ("by_field", "", BY_FIELD, known),
                ("reworded", "", REWORDED, ""),
                ("system", f"{SYSTEM}\n", DIRECT, ""),
            ):
                asked = question(template, record, field, labels, given)
                prompt = f"{before}Question: {asked}\nAnswer:"
                response = f" The {field} of {record.name} is {value}."
                found.append({"wording": wording, "prompt": prompt, "response": response})
    return found


def tables(seed: int) -> dict[str, list[Any]]:
    """Records and questions of each part."""
    left = iter(records(seed))
    found: dict[str, list[Any]] = {}
    for part, count in PARTS.items():
        people = [next(left) for _ in range(count)]
        found |= {part: people, f"{part}_questions": questions(people)}
    return found


if __name__ == "__main__":
    write_tables(tables, HERE, "Writes the embedded records.")
