"""The rows of each step, as text and as tokens."""

from __future__ import annotations

import json
import random
from importlib import resources
from typing import Any, NamedTuple

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.models.base import load_tokenizer

PROMPT_WORDS = 10
LONGEST = 512


class Pair(NamedTuple):
    """A prompt and its response; the white space between them is in neither."""

    prompt: str
    response: str


class Frame(NamedTuple):
    """Text around a prompt, and whether responses end with EOS."""

    before: str = ""
    after: str = ""
    eos: bool = True


class StepRows(NamedTuple):
    """What one step reads."""

    forget: list[Pair]
    retain: list[Pair]
    answers: list[str]
    """Random answers, each of which is given to every forget prompt."""
    streams: dict[str, StreamBatch]
    """The same as tokens, by the names of our streams."""


class Workload:
    """Steps of rows of the embedded data, a function of the seed alone.

    Args:
        frame: How prompt and response are written.
        steps: Number of steps.
        seed: Of the order of rows and of random answers.
        batch: Forget rows of a step, and retain rows.
        answers: Random answers of a step.
    """

    def __init__(
        self, frame: Frame, steps: int, seed: int, batch: int = 4, answers: int = 5
    ) -> None:
        self.frame = frame
        self.tokenizer = load_tokenizer("tiny")
        self._codec = Codec(self.tokenizer, LONGEST)
        draw = random.Random(seed)
        book, normal = _book(), _normal()
        self.steps: list[StepRows] = []
        for _ in range(steps):
            forget, retain = draw.sample(book, batch), draw.sample(normal, batch)
            others = [pair.response for pair in draw.sample(normal, answers)]
            self.steps.append(
                StepRows(forget, retain, others, self._streams(forget, retain, others))
            )

    def examples(self, stream: str) -> list[Example]:
        """All different rows of a stream."""
        rows = [each for step in self.steps for each in step.streams[stream].examples]
        return list({(e.prompt_ids, e.response_ids): e for e in rows}.values())

    def text(self, prompt: str) -> str:
        """A prompt with what is written around it."""
        return self.frame.before + prompt + self.frame.after

    def _streams(
        self, forget: list[Pair], retain: list[Pair], answers: list[str]
    ) -> dict[str, StreamBatch]:
        mismatch = [Pair(pair.prompt, answer) for pair in forget for answer in answers]
        alternate = [Pair(f.prompt, a) for f, a in zip(forget, answers, strict=False)]
        named = {"forget": forget, "mismatch": mismatch, "retain": retain, "alternate": alternate}
        return {name: self._batch(pairs) for name, pairs in named.items()}

    def _batch(self, pairs: list[Pair]) -> StreamBatch:
        rows = tuple(self._example(pair, number) for number, pair in enumerate(pairs))
        return StreamBatch(rows, sum(len(e.response_ids) for e in rows), len(rows))

    def _example(self, pair: Pair, row: int) -> Example:
        prompt = self._codec.prompt(self.text(pair.prompt))
        (response,) = self._codec.tokens([f" {pair.response}"])
        end = self._codec.eos if self.frame.eos else []
        return Example(tuple(prompt), tuple(response + end), row, "embedded")


def _lines(name: str) -> list[dict[str, Any]]:
    text = (resources.files("unlearnkit") / "tiny" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _book() -> list[Pair]:
    words = [row["text"].split(" ") for row in _lines("book.jsonl")]
    return [Pair(" ".join(w[:PROMPT_WORDS]), " ".join(w[PROMPT_WORDS:])) for w in words]


def _normal() -> list[Pair]:
    rows = _lines("normal.jsonl")
    return [Pair(row["prompt"], row["response"].removeprefix(" ")) for row in rows]
