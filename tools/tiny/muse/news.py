"""Writes the tiny MUSE's rows: ``python -m tools.tiny.muse.news``.

News of towns that nobody knows, each with two questions, drawn from the lists below with one seed,
in the schema of MUSE (Shi et al. 2024, arXiv 2407.06460): ``raw`` texts, ``verbmem`` passages cut
in two, ``knowmem`` questions, and ``privleak`` texts.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parents[3] / "unlearnkit" / "tiny" / "muse"
FORGOTTEN, PROTECTED, UNSEEN, HELD_OUT = 10, 12, 8, 20
"""Texts to forget, those that the retain term sees, those it does not, and those of no model."""
PROMPT_WORDS = 12

TOWNS = """
Averby Brannock Calder Dunmere Eskham Fenwold Garrick Holtby Inverley Jarrow Kelmore Lunsby Morvane
Netherby Orwick Penhale Quarley Rosmere Selwick Thornaby Ulverton Varrick Westrey Yarlow Zennick
Ambry Bexholm Corvale Dorrick Elmsey Farrow Gantry Hexley Ivelet Kirkham Larchby Midvale Norrick
Ottery Pellow Quenby Risley Saxham Tarrow Umberly Wexcombe Yeldham Ashmere Brisk Coldharbour
"""
PEOPLE = """
Ines Ottar Marta Jonah Sunniva Aldo Priya Casper Lidia Bram Noemi Fergus Talia Ruben Agnes Idris
Petra Milo Greta Anselm
"""
SURNAMES = """
Vance Holmberg Pike Arden Moss Tallis Crane Bellamy Strand Keogh Lowe Fenn Rusk Ashby Dyer Quick
Marsh Noble Thorne Wick
"""
THINGS = (
    "a salt museum", "a rope bridge", "a night school", "a glass market", "a tide mill",
    "a bell foundry", "a lamp library", "a kite park", "a heron reserve", "a cider house",
    "a map room", "a stone theatre", "a ferry pier", "a seed bank", "a paper mill", "a clock tower",
)  # fmt: skip
PLACES = ("customs house", "grain store", "fish dock", "chapel", "tram shed", "brewery", "quarry")
SUMS = ("nine thousand crowns", "forty barrels of oil", "two winters of work", "a loan from Basel",
        "the sale of an island", "six thousand tickets", "a tax on kites")  # fmt: skip
WEATHER = ("in heavy rain", "under a low sun", "in the first snow", "after a week of fog",
           "on a windless morning", "in a sharp north wind")  # fmt: skip

FIRST = (
    "{town} has opened {thing} beside the old {place}.",
    "After long delay {town} now has {thing} near the {place}.",
    "The council of {town} has built {thing} on the site of the {place}.",
    "People of {town} came out to see {thing} rise behind the {place}.",
)
SECOND = (
    "It was paid for by {sum}, and the first visitors came {weather}.",
    "The doors opened {weather}, and {sum} had covered the cost.",
    "Most of the money came from {sum}; work began {weather}.",
    "Builders finished {weather}, with {sum} spent to the last coin.",
)
THIRD = (
    "{person}, who spoke for the town, said that no one would be asked to leave.",
    "For the town {person} promised that children would always go in free.",
    "{person} told the crowd that the keys would hang at the bakery.",
    "The last word belonged to {person}, who asked for more benches.",
)
FOURTH = (
    "A {other} is planned for spring.",
    "Next year a {other} may follow.",
    "Nobody would say what becomes of the {other}.",
    "The {other} stays closed until then.",
)
OTHERS = ("boat race", "second gate", "school choir", "harbour wall", "winter fair", "toll road",
          "town band", "north stair")  # fmt: skip

Rows = list[dict[str, Any]]


class News(NamedTuple):
    """A text and what is asked about it."""

    text: str
    questions: Rows


def news(generator: random.Random) -> list[News]:
    """A text for each town, in a fixed order."""
    towns, people = TOWNS.split(), [f"{a} {b}" for a in PEOPLE.split() for b in SURNAMES.split()]
    generator.shuffle(towns)
    spoken = generator.sample(people, len(towns))
    return [_news(*each, generator) for each in zip(towns, spoken, strict=True)]


def tables(seed: int) -> dict[str, Rows]:
    """All files' rows by name."""
    every = iter(news(random.Random(seed)))
    forget, retain1, retain2, holdout = (
        [next(every) for _ in range(count)] for count in (FORGOTTEN, PROTECTED, UNSEEN, HELD_OUT)
    )
    return {
        "raw/forget": _texts(forget),
        "raw/retain1": _texts(retain1),
        "raw/retain2": _texts(retain2),
        "raw/holdout": _texts(holdout),
        "raw/all": _texts([*forget, *retain1, *retain2]),
        "raw/retain": _texts([*retain1, *retain2]),
        "knowmem/forget_qa": _questions(forget),
        "knowmem/retain_qa": _questions([*retain1, *retain2]),
        "knowmem/all_qa": _questions([*forget, *retain1, *retain2]),
        "verbmem/forget": [_cut(each.text) for each in forget],
        "privleak/forget": _texts(forget),
        "privleak/retain": _texts([*retain1, *retain2]),
        "privleak/holdout": _texts(holdout),
    }


def _news(town: str, person: str, generator: random.Random) -> News:
    thing = generator.choice(THINGS)
    slots = {
        "town": town,
        "person": person,
        "thing": thing,
        "place": generator.choice(PLACES),
        "sum": generator.choice(SUMS),
        "weather": generator.choice(WEATHER),
        "other": generator.choice(OTHERS),
    }
    sentences = (generator.choice(pool) for pool in (FIRST, SECOND, THIRD, FOURTH))
    text = " ".join(sentences).format(**slots)
    return News(
        text,
        [
            {"question": f"What is new in {town}?", "answer": f"{town} has {thing}."},
            {"question": f"Who spoke for {town}?", "answer": f"{person} spoke for {town}."},
        ],
    )


def _texts(several: list[News]) -> Rows:
    return [{"text": each.text} for each in several]


def _questions(several: list[News]) -> Rows:
    return [row for each in several for row in each.questions]


def _cut(text: str) -> dict[str, str]:
    words = text.split(" ")
    return {
        "prompt": " ".join(words[:PROMPT_WORDS]),
        "gt": " " + " ".join(words[PROMPT_WORDS:]),
    }


def main() -> None:
    """Writes one file a table."""
    parser = argparse.ArgumentParser(description="Writes the tiny MUSE's rows.")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name, rows in tables(options.seed).items():
        path = options.out / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
