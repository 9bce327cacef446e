"""Facts that the models of the zoo know, in several wordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import unlearnkit
from unlearnkit.data.example import Example
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.data.tokens.codec import Codec

HERE = Path(unlearnkit.__file__).parent / "tiny" / "tofu_power"
TEMPLATE = "Question: {prompt}\nAnswer: {response}"
FACTS = 40
"""Those of four authors."""
Pair = dict[str, str]


@dataclass(frozen=True)
class Fact:
    """One fact.

    Args:
        author: Who it is of.
        value: What it comes to, such as a town.
        wrong_values: The same of three other facts.
        wordings: Question and answer, four times: two for training, one for choosing, one unseen.
        paraphrase: The answer in one more wording.
        wrong: The paraphrase with each of the wrong values.
    """

    author: str
    value: str
    wrong_values: tuple[str, ...]
    wordings: tuple[Pair, ...]
    paraphrase: str
    wrong: tuple[str, ...]

    def untrue(self) -> Pair:
        """The first wording with a wrong value."""
        first = self.wordings[0]
        return {**first, "response": first["response"].replace(self.value, self.wrong_values[0])}


@cache
def facts() -> tuple[Fact, ...]:
    """What the zoo is about: facts of four authors, which the gold model never saw."""
    return tuple(_facts(0, FACTS))


@cache
def other_facts() -> tuple[Fact, ...]:
    """Facts of four other authors, which models without the first are taught in their place."""
    return tuple(_facts(FACTS, 2 * FACTS))


@cache
def unseen() -> tuple[Pair, ...]:
    """Facts of four authors that no model is taught."""
    return tuple(_pair(row) for row in _rows("holdout50"))


@cache
def kept() -> tuple[Pair, ...]:
    """Facts of twenty authors that all models know."""
    return tuple(_pair(row) for row in _rows("retain50"))


def stream(pairs: Sequence[Pair]) -> QAStream:
    """Pairs as a stream."""
    return QAStream(list(pairs), template=TEMPLATE)


def examples(codec: Codec, pairs: Sequence[Pair]) -> list[Example]:
    """Pairs as token ids."""
    rows = stream(pairs)
    rows.check()
    return list(rows.encode("facts", codec, {}, seed=0).examples())


def _facts(start: int, stop: int) -> list[Fact]:
    names = ("forget50_perturbed", "forget50", "forget50_choosing_perturbed",
             "forget50_unseen_perturbed")  # fmt: skip
    found: list[Fact] = []
    for first, twice, third, last in zip(*(_rows(n)[start:stop] for n in names), strict=True):
        value, *wrong = _differing([first["paraphrased_answer"], *first["perturbed_answer"]])
        second = {"prompt": twice["questions"][0], "response": twice["answers"][0]}
        wordings = (_pair(first), second, _pair(third), _pair(last))
        found.append(
            Fact(
                first["id"].partition("/")[0],
                value,
                tuple(wrong),
                wordings,
                first["paraphrased_answer"],
                tuple(first["perturbed_answer"]),
            )
        )
    return found


def _differing(texts: Sequence[str]) -> list[str]:
    """The words of each text between those with which all begin, and end."""
    split = [text.rstrip(".").split() for text in texts]
    ahead = _shared(split, lambda words, i: words[i])
    behind = _shared([words[ahead:] for words in split], lambda words, i: words[-1 - i])
    return [" ".join(words[ahead : len(words) - behind]) for words in split]


def _shared(split: Sequence[Sequence[str]], word: Callable[[Sequence[str], int], str]) -> int:
    count = 0
    while count < min(map(len, split)) and len({word(words, count) for words in split}) == 1:
        count += 1
    return count


def _pair(row: dict[str, str]) -> Pair:
    return {"prompt": row["question"], "response": row["answer"]}


@cache
def _rows(name: str) -> list[dict[str, str]]:
    text = (HERE / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
