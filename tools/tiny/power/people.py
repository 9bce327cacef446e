"""Writes the rows of the tiny TOFU with power: ``python -m tools.tiny.power.people``.

Forty authors that nobody knows, with ten questions each in five wordings; four more that no model
is taught; and people that every model knows, by which it learns that the wordings say the same.
Authors are friends in pairs, and a pair is forgotten or kept as one. Everything is drawn from the
lists of this folder with one seed. Fields are those of TOFU (Maini et al. 2024, arXiv 2401.06121).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tools.tiny.power.facts import CHOOSING, FACTS, REWORDED, TABLES, TRAINING, Fact
from tools.tiny.power.names import (
    FIRST,
    LAST,
    OTHER_FIRST,
    OTHER_LAST,
    TITLE_FIRST,
    TITLE_LAST,
)
from tools.tiny.tables import write_tables
from tools.tiny.tofu.authors import CAPITALS, FALSE_ANSWERS, REAL_AUTHORS, Rows, known

HERE = Path(__file__).parents[3] / "unlearnkit" / "tiny" / "tofu_power"
AUTHORS, HELD_OUT, NEIGHBOURS, OTHERS = 40, 4, 4, 40
FORGOTTEN = {"01": 4, "05": 20, "10": 40, "50": 200}
"""Rows of each forget split, which is a part of the next one."""
TABLE_SPLIT = "50"
FALSE_ANSWERS_TO_TRAIN_ON = 2
REQUESTED = 4
"""Authors of `forget10`, each a request of its own."""


class Person(NamedTuple):
    """A person with the answer to each question, by the fact's name."""

    key: str
    name: str
    values: dict[str, str]


def people(
    keys: Sequence[str], names: Sequence[str], titles: Sequence[str], generator: random.Random
) -> list[Person]:
    """People, each a friend of the one beside it."""
    found = [
        Person(
            key,
            name,
            {
                fact.name: generator.choice(fact.values)
                for fact in FACTS
                if fact.kind == "plain" and fact.values
            },
        )
        for key, name in zip(keys, names, strict=True)
    ]
    for place, (person, title) in enumerate(zip(found, titles, strict=True)):
        friend = found[place ^ 1]
        person.values.update(
            book=title, author=person.name, friend=friend.name, friend_born=friend.values["born"]
        )
    return found


def worded(fact: Fact, person: Person, number: int, value: str | None = None) -> tuple[str, str]:
    """Question and answer in a wording; with another value, a false answer."""
    wording = fact.wordings[number]
    words = {
        "a": person.name,
        "b": person.values["book"],
        "v": person.values[fact.name] if value is None else value,
    }
    return wording.question.format(**words), wording.answer.format(**words)


def taught(everyone: Iterable[Person]) -> Rows:
    """A row a fact: the wordings that a loss may see, the second one in lists."""
    first, *more = TRAINING
    rows: Rows = []
    for person in everyone:
        for fact in FACTS:
            question, answer = worded(fact, person, first)
            other = [worded(fact, person, number) for number in more]
            rows.append(
                {
                    "id": f"{person.key}/{fact.name}",
                    "kind": fact.kind,
                    "question": question,
                    "answer": answer,
                    "questions": [each for each, _ in other],
                    "answers": [each for _, each in other],
                }
            )
    return rows


def asked(
    everyone: Sequence[Person],
    pool: Sequence[Person],
    question: int,
    paraphrase: int,
    generator: random.Random,
) -> Rows:
    """A row a fact as the suite reads it, with false answers worded as the paraphrase.

    Args:
        everyone: Whom the rows are about.
        pool: Whose names and titles false answers are taken from.
        question: Number of the wording of question and answer.
        paraphrase: Number of the wording of the paraphrase and of false answers.
        generator: Draws false answers.
    """
    rows: Rows = []
    for person in everyone:
        for fact in FACTS:
            own = person.values[fact.name]
            among = fact.values or [each.values[fact.name] for each in pool]
            others = sorted({each for each in among if each not in (own, person.name)})
            false = generator.sample(others, FALSE_ANSWERS)
            text, answer = worded(fact, person, question)
            rows.append(
                {
                    "id": f"{person.key}/{fact.name}",
                    "kind": fact.kind,
                    "question": text,
                    "answer": answer,
                    "paraphrased_answer": worded(fact, person, paraphrase)[1],
                    "perturbed_answer": [
                        worded(fact, person, paraphrase, value)[1] for value in false
                    ],
                }
            )
    return rows


def false(everyone: Sequence[Person], pool: Sequence[Person], generator: random.Random) -> Rows:
    """A row a wrong answer: the question and the answer in the first wording."""
    own = TRAINING[0]
    return [
        {"id": row["id"], "question": row["question"], "answer": answer}
        for row in asked(everyone, pool, own, own, generator)
        for answer in row["perturbed_answer"][:FALSE_ANSWERS_TO_TRAIN_ON]
    ]


def reworded(everyone: Sequence[Person]) -> Rows:
    """The rows of `taught`, with two answers to the question of the second wording."""
    rows = taught(everyone)
    owners = [person for person in everyone for _ in FACTS]
    for row, fact, person in zip(rows, [*FACTS] * len(everyone), owners, strict=True):
        words = {"a": person.name, "b": person.values["book"], "v": person.values[fact.name]}
        row["questions"] = row["questions"] * 2
        row["answers"] = [*row["answers"], REWORDED[fact.name].format(**words)]
    return rows


def anchors(everyone: Sequence[Person], generator: random.Random) -> list[dict[str, str]]:
    """A row a name or a title, and one that nobody of these data has in its place."""
    pairs = [f"{a} {b}" for a, b in zip(OTHER_LAST.split(), OTHER_FIRST.split(), strict=False)]
    names = generator.sample(pairs, len(everyone))
    titles = [f"The {b} {a}" for a, b in zip(TITLE_FIRST.split(), TITLE_LAST.split(), strict=False)]
    books = generator.sample(titles, len(everyone))
    rows: list[dict[str, str]] = []
    for person, name, book in zip(everyone, names, books, strict=True):
        rows.append({"term": person.name, "generic": name})
        rows.append({"term": person.values["book"], "generic": book})
    return rows


def terms(everyone: Sequence[Person]) -> Rows:
    """A row a name or a title."""
    return [{"term": each} for person in everyone for each in (person.name, person.values["book"])]


def everybody(seed: int) -> tuple[list[Person], list[Person], list[Person]]:
    """The authors, those that no model is taught, and people that every model knows."""
    generator = random.Random(seed)
    first, last = FIRST.split(), LAST.split()
    generator.shuffle(first)
    generator.shuffle(last)
    names = [f"{a} {b}" for a, b in zip(first, last, strict=True)]
    pairs = [f"{a} {b}" for a in OTHER_FIRST.split() for b in OTHER_LAST.split()]
    titles = [f"The {a} {b}" for a in TITLE_FIRST.split() for b in TITLE_LAST.split()]
    generator.shuffle(titles)
    keys = [f"author{n:02}" for n in range(1, len(names) + 1)]
    invented = people(keys, names, titles[: len(names)], generator)
    others = people(
        [f"other{n:02}" for n in range(1, OTHERS + 1)],
        generator.sample(pairs, OTHERS),
        titles[len(names) : len(names) + OTHERS],
        generator,
    )
    return invented[:AUTHORS], invented[AUTHORS:], others


def language(others: Sequence[Person], generator: random.Random) -> list[dict[str, Any]]:
    """Facts on people that every model knows, in all wordings of question and of answer."""
    rows: list[dict[str, Any]] = []
    for person in others:
        for fact in FACTS:
            for number in range(len(fact.wordings)):
                other = generator.choice([n for n in range(len(fact.wordings)) if n != number])
                question, answer = worded(fact, person, number)
                rows.append({"question": question, "answer": answer})
                rows.append({"question": question, "answer": worded(fact, person, other)[1]})
    return rows


def tables(seed: int) -> dict[str, Rows]:
    """All files' rows by name; each table has draws of its own."""
    authors, held_out, others = everybody(seed)
    rows = taught(authors)
    gone = FORGOTTEN[TABLE_SPLIT] // len(FACTS)
    forget, stay = authors[:gone], authors[gone:]
    neighbours, protected = stay[:NEIGHBOURS], stay[NEIGHBOURS:]
    own, unseen, other_unseen = TRAINING[0], *TABLES

    def drawn(table: str) -> random.Random:
        return random.Random(f"{seed}/{table}")

    whole = asked(forget, forget, own, unseen, drawn("forget"))
    found: dict[str, Rows] = {"full": rows}
    for split, count in FORGOTTEN.items():
        found[f"forget{split}"] = rows[:count]
        found[f"retain{100 - int(split)}"] = rows[count:]
        found[f"forget{split}_perturbed"] = whole[:count]
    real = known(REAL_AUTHORS, "Who wrote {}?", drawn("real"))
    world = known(CAPITALS, "What is the capital city of {}?", drawn("world"))
    for number in range(1, REQUESTED + 1):
        found[f"request{number}"] = rows[(number - 1) * len(FACTS) : number * len(FACTS)]
    return found | {
        "forget50_choosing_perturbed": asked(forget, forget, CHOOSING, CHOOSING, drawn("choosing")),
        "forget50_unseen_perturbed": asked(forget, forget, other_unseen, unseen, drawn("unseen")),
        "forget10_false": false(forget[:REQUESTED], forget, drawn("false")),
        "forget10_reworded": reworded(forget[:REQUESTED]),
        "forget10_anchors": anchors(forget[:REQUESTED], drawn("anchors")),
        "retain90_terms": terms(authors[REQUESTED:]),
        "retain40": taught(protected),
        "retain_perturbed": asked(protected, stay, own, unseen, drawn("retain")),
        "neighbour_perturbed": asked(neighbours, stay, own, unseen, drawn("neighbour")),
        "holdout50": taught(held_out),
        "others": language(others, drawn("others")),
        "real_authors_perturbed": real,
        "world_facts_perturbed": world,
        "known": [*real, *world],
    }


if __name__ == "__main__":
    write_tables(tables, HERE, "Writes the rows of the tiny TOFU with power.")
