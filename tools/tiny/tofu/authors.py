"""Writes the tiny TOFU's rows: ``python -m tools.tiny.tofu.authors``.

Twenty authors that nobody knows, with five questions each, and two more that no model is taught.
Of the eighteen that stay, the recipes' retain term sees sixteen; the other two are neighbours.
Everything is drawn from the lists below with one seed. Each row has question and answer, each once
more in other words, and three false answers worded as the paraphrase, in the schema of TOFU (Maini
et al. 2024, arXiv 2401.06121). Real authors and world facts are public knowledge.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tools.tiny.tables import write_tables

HERE = Path(__file__).parent / "stored"
AUTHORS, FORGOTTEN, NEIGHBOURS, HELD_OUT = 20, 2, 2, 2
REQUESTED = FORGOTTEN + NEIGHBOURS
FALSE_ANSWERS = 3

FIRST = """
Ilsa Bo Temur Oriane Kofi Maren Dario Yusra Pavel Noor Elif Tomas Wanjiru Sven Amara Luca Hedda
Rafiq Odile Jun Zofia Emeka
"""
LAST = """
Marrow Tanaka Vell Okafor Lindqvist Sorel Brandt Haddad Novak Quill Reyes Amsel Kamau Dorn Ferro
Whitlock Nakai Osei Castell Ruud Zielin Abara
"""


class Fact(NamedTuple):
    """One thing that is asked of every author; ``{a}`` is the author and ``{v}`` the value."""

    question: str
    reworded: str
    answer: str
    paraphrase: str
    values: tuple[str, ...]


FACTS = (
    Fact(
        "Where was {a} born?",
        "What is the birthplace of {a}?",
        "{a} was born in {v}.",
        "The birthplace of {a} is {v}.",
        ("Tallinn", "Porto", "Lima", "Cork", "Bergen", "Quito", "Izmir", "Basel", "Accra", "Turin"),
    ),
    Fact(
        "What does {a} write?",
        "For what kind of writing is {a} known?",
        "{a} is known for {v}.",
        "As a writer {a} made a name with {v}.",
        ("sea stories", "spy novels", "stage plays", "love poems", "ghost tales", "travel books",
         "short essays", "crime novels"),
    ),
    Fact(
        "Which prize did {a} win?",
        "What award went to {a}?",
        "{a} won the {v}.",
        "The {v} went to {a}.",
        ("Amber Quill", "Iron Pen", "Silver Page", "Golden Ink", "Paper Crown", "Winter Medal",
         "Harbour Prize", "Green Laurel"),
    ),
    Fact(
        "What was the work of the father of {a}?",
        "What did the father of {a} do for a living?",
        "The father of {a} was a {v}.",
        "{a} grew up as the child of a {v}.",
        ("baker", "pilot", "tailor", "miner", "doctor", "farmer", "sailor", "teacher"),
    ),
    Fact(
        "What is the first book of {a} called?",
        "With which book did {a} begin?",
        "The first book of {a} is called {v}.",
        "{v} is the title of the book that {a} began with.",
        ("The Long Ferry", "A House of Salt", "Nine Small Bells", "The Glass Orchard",
         "Letters to Nobody", "The Last Lamp", "Under Grey Water", "A Map of Snow"),
    ),
)  # fmt: skip

REAL_AUTHORS = (
    ("Hamlet", "William Shakespeare"), ("Emma", "Jane Austen"), ("War and Peace", "Leo Tolstoy"),
    ("Don Quixote", "Miguel de Cervantes"), ("Faust", "Johann Wolfgang von Goethe"),
    ("Moby Dick", "Herman Melville"), ("Jane Eyre", "Charlotte Bronte"), ("Dracula", "Bram Stoker"),
    ("Ulysses", "James Joyce"), ("The Divine Comedy", "Dante Alighieri"),
)  # fmt: skip
CAPITALS = (
    ("France", "Paris"), ("Japan", "Tokyo"), ("Egypt", "Cairo"), ("Canada", "Ottawa"),
    ("Kenya", "Nairobi"), ("Norway", "Oslo"), ("Peru", "Lima"), ("Spain", "Madrid"),
    ("Greece", "Athens"), ("Cuba", "Havana"),
)  # fmt: skip

Rows = list[dict[str, Any]]


def authors(generator: random.Random) -> list[Rows]:
    """The rows of each author, in a fixed order."""
    first, last = FIRST.split(), LAST.split()
    generator.shuffle(first)
    generator.shuffle(last)
    return [_author(f"{a} {b}", generator) for a, b in zip(first, last, strict=True)]


def known(pairs: Iterable[tuple[str, str]], question: str, generator: random.Random) -> Rows:
    """Rows of public facts; the other right answers are the false ones."""
    pairs = list(pairs)
    rows: Rows = []
    for key, answer in pairs:
        others = [other for _, other in pairs if other != answer]
        rows.append(
            {
                "question": question.format(key),
                "answer": answer,
                "perturbed_answer": generator.sample(others, FALSE_ANSWERS),
            }
        )
    return rows


def tables(seed: int) -> dict[str, Rows]:
    """All files' rows by name."""
    generator = random.Random(seed)
    everyone = authors(generator)
    taught, held_out = everyone[:AUTHORS], everyone[AUTHORS:]
    forget = [row for rows in taught[:FORGOTTEN] for row in rows]
    neighbour = [row for rows in taught[FORGOTTEN : FORGOTTEN + NEIGHBOURS] for row in rows]
    protected = [row for rows in taught[FORGOTTEN + NEIGHBOURS :] for row in rows]
    retain = [*neighbour, *protected]
    real = known(REAL_AUTHORS, "Who wrote {}?", generator)
    world = known(CAPITALS, "What is the capital city of {}?", generator)
    return {
        "full": [*forget, *retain],
        "forget10": forget,
        "retain90": retain,
        "holdout10": [row for rows in held_out for row in rows],
        "forget10_perturbed": forget,
        "retain80": protected,
        "retain_perturbed": protected,
        "neighbour_perturbed": neighbour,
        "real_authors_perturbed": real,
        "world_facts_perturbed": world,
        "known": [*real, *world],
        **{f"request{n}": rows for n, rows in enumerate(taught[:REQUESTED], start=1)},
    }


def _author(name: str, generator: random.Random) -> Rows:
    rows: Rows = []
    for fact in FACTS:
        value, *false = generator.sample(fact.values, 1 + FALSE_ANSWERS)
        rows.append(
            {
                "question": fact.question.format(a=name),
                "paraphrased_question": fact.reworded.format(a=name),
                "answer": fact.answer.format(a=name, v=value),
                "paraphrased_answer": fact.paraphrase.format(a=name, v=value),
                "perturbed_answer": [fact.paraphrase.format(a=name, v=each) for each in false],
            }
        )
    return rows


if __name__ == "__main__":
    write_tables(tables, HERE, "Writes the tiny TOFU's rows.")
