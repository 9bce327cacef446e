"""Random answers to the prompts of another stream."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from unlearnkit.data.cut import Cut
from unlearnkit.data.encoded import Digest, EncodedRows, StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.plan import Order
from unlearnkit.data.pool import Answer, AnswerPool
from unlearnkit.data.rows.memory import RowSource, is_given
from unlearnkit.data.rows.packed import Mapped
from unlearnkit.data.rows.same import UP_TO, keys_of
from unlearnkit.data.streams.answering import AnsweringStream, stream_of_rows
from unlearnkit.data.streams.answers import AnswerStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.families import defaults

logger = logging.getLogger(__name__)

_KEPT = 2**14


class MismatchStream(AnsweringStream, name="mismatch"):
    """Random answers to another stream's prompts, never their own, drawn anew each epoch.

    The pool of answers is walked without replacement, pass after pass, each in a random order of
    its own; which answers a prompt gets is a function of the seed, the stream's name and the
    number of the draw alone. Each of the prompt's answers is a sequence of the same row, so a
    forget prompt and its random answers are in the same step.

    Args:
        prompts: The stream whose prompts are answered.
        answers: The stream whose responses are the pool, or a file or data set of answers; in a
            program also a list of them.
        per_prompt: Random answers per prompt.
        **file: The column and the rows of a file of answers, and how they are read; see
            `AnswerStream`.

    Raises:
        RecipeError: If ``per_prompt`` is below 1, or keys of a file are given with a stream.

    References:
        Yao et al., 2023, arXiv:2310.10683, equation 3 (the set of random answers).
    """

    passes_on: ClassVar[tuple[type, ...]] = (AnswerStream,)

    def __init__(
        self,
        prompts: str = "forget",
        answers: RowSource = "retain",
        per_prompt: int = 5,
        **file: Any,
    ) -> None:
        answer_file = AnswerStream(answers, batch_size=None, **file)
        super().__init__(prompts, per_prompt, answer_file.on_bad_rows)
        self.answers = answer_file.path
        in_file = is_given(answers) or "/" in self.answers or "." in self.answers
        self._file = answer_file if in_file else None
        known = defaults(AnswerStream)
        given = [key for key in known if key in file and file[key] != known[key]]
        if given and self._file is None:
            raise RecipeError(
                f"{', '.join(given)}: of a file of answers, and '{self.answers}' is a stream",
                hint=f"Set it of the stream '{self.answers}', or give answers: a file with its "
                "suffix.",
            )

    def call(self, name: str) -> None:
        """Tells the stream's name to its answers; see `Stream.call`."""
        if self._file:
            self._file.call(name)

    def depends_on(self) -> tuple[str, ...]:
        """The stream of prompts, and the one of answers unless they are a file."""
        return (self.prompts,) if self._file else (self.prompts, self.answers)

    def check(self) -> None:
        """Reads and checks the file of answers, if they come from one.

        Raises:
            DataError: With every bad row.
        """
        if self._file:
            self._file.check()

    def encode(
        self, name: str, codec: Codec, others: Mapping[str, StreamData], seed: int
    ) -> StreamData:
        """Prepares the draws.

        Raises:
            RecipeError: If a stream it names is not there.
            DataError: With every bad row, or if a prompt's own answer is the only one.
        """
        prompts = self.prompt_rows(name, others)
        if self._file:
            answers = self._file.encode(name, codec, others, seed)
            assert isinstance(answers, EncodedRows)
        else:
            answers = stream_of_rows(name, "answers", self.answers, others)
        framed = answers.in_frame(prompts.frame, codec)
        data = MismatchData(name, prompts, framed, self.per_prompt, codec, seed)
        data.dropped = answers.dropped if self._file else 0
        return data


class MismatchData(StreamData):
    """The draws of a `MismatchStream`.

    Args:
        name: The stream's name.
        prompts: The stream whose prompts are answered.
        answers: The stream whose responses are the pool.
        per_prompt: Answers per prompt.
        codec: Tokenizer, and the longest sequence; answers are cut to fit.
        seed: Seed of the draws.

    Raises:
        DataError: If the pool has no answer but a prompt's own.
    """

    def __init__(
        self,
        name: str,
        prompts: EncodedRows,
        answers: EncodedRows,
        per_prompt: int,
        codec: Codec,
        seed: int,
    ) -> None:
        super().__init__(name, source=answers.source, follows=prompts.name)
        self._prompts, self._answers, self._per_prompt = prompts, answers, per_prompt
        self._pool = AnswerPool(
            name,
            Mapped(range(answers.sequences), partial(_answer, answers)),
            codec.max_length,
            seed,
            keys_of=keys_of(codec),
        )
        self._settings = (name, per_prompt, codec.max_length, seed)
        self._own_keys = self._pool.keys(self._own_answers)
        self._most_turns = max(prompts.lengths(row, 0)[0] for row in range(len(prompts)))
        # Draws are counted for a whole step before they are made, and cost the same again.
        self._chosen: dict[tuple[int, int], list[list[int]]] = {}
        self._check_other_answers()
        self._tell_of_own_answers()

    def _tell_of_own_answers(self) -> None:
        if count := self._pool.count_own(self._own_answers, self._own_keys, reworded=True):
            logger.warning(
                "%s: %d of %d answers in %s are some prompt's own answer but for %s; no prompt is "
                "given its own",
                self.name,
                count,
                len(self._pool),
                self.source,
                UP_TO,
            )

    def _check_other_answers(self) -> None:
        problems = [
            Problem(
                self._prompts.source,
                self._prompts.place(row),
                None,
                f"its own answer alone in {self.source}",
                "another",
            )
            for row in range(len(self))
            for turn in self._prompts.sequences_of(row)
            if not self._pool.serves(self._own_keys[turn], self._room(turn))
        ]
        if problems:
            raise DataError(problems, hint=f"Add other answers to {self.source}.")

    def __len__(self) -> int:
        """Rows in one pass: the prompts'."""
        return len(self._prompts)

    def at(self, row: int, occurrence: int) -> list[Example]:
        """The row's prompt with each of its random answers; more for a row of several turns."""
        examples: list[Example] = []
        turns = self._prompts.sequences_of(row)
        for turn, places in zip(turns, self._choice(row, occurrence), strict=True):
            prompt, room = self._prompts.prompt(turn), self._room(turn)
            answers = (self._pool.answer(place, room) for place in places)
            examples += [Example(prompt, answer.ids, row, answer.source) for answer in answers]
        return examples

    def lengths(self, row: int, occurrence: int) -> tuple[int, int]:
        """Number of sequences and of response tokens of a row."""
        turns = self._prompts.sequences_of(row)
        tokens = (
            self._pool.length(place, self._room(turn))
            for turn, places in zip(turns, self._choice(row, occurrence), strict=True)
            for place in places
        )
        return len(turns) * self._per_prompt, sum(tokens)

    def count(self, rows: Order, first: int) -> tuple[int, int]:
        """Number of sequences and of response tokens of successive draws.

        A step over many processes has thousands; few of them have to be looked at one by one.
        """
        if self._prompts.sequences != len(self):
            return super().count(rows, first)  # conversations, in which a row has several turns
        rooms = self._pool.room(0) - self._prompts.prompt_lengths(rows)
        owns = np.frombuffer(self._own_keys, np.uint64)[rows]
        tokens, unsure = self._pool.walked(owns, rooms, first * self._per_prompt, self._per_prompt)
        for n in np.flatnonzero(unsure).tolist():
            tokens[n] = self.lengths(int(rows[n]), first + n)[1]
        return len(rows) * self._per_prompt, int(tokens.sum())

    def cuts(self) -> Cut | None:
        """How much the maximal length takes from answers, behind each of the prompts."""
        rooms = [self._room(turn) for turn in range(self._prompts.sequences)]
        return Cut.total([self._pool.cuts(rooms)])

    def update_digest(self, digest: Digest) -> None:
        """Feeds a digest with what the draws follow from: prompts, pool and settings."""
        digest.update(repr(("mismatch", *self._settings)).encode())
        for rows in (self._prompts, self._answers):
            rows.update_digest(digest)

    @property
    def _own_answers(self) -> Sequence[Sequence[int]]:
        return Mapped(range(self._prompts.sequences), self._prompts.response)

    def _room(self, turn: int) -> int:
        return self._pool.room(self._prompts.prompt_length(turn))

    def _choice(self, row: int, occurrence: int) -> list[list[int]]:
        """Places in the pool of the answers to each turn of a row."""
        if (row, occurrence) not in self._chosen:
            if len(self._chosen) >= _KEPT:
                self._chosen.clear()
            self._chosen[row, occurrence] = [
                self._pool.choose(
                    self._own_keys[turn],
                    self._room(turn),
                    (occurrence * self._most_turns + number) * self._per_prompt,
                    self._per_prompt,
                )
                for number, turn in enumerate(self._prompts.sequences_of(row))
            ]
        return self._chosen[row, occurrence]


def _answer(rows: EncodedRows, sequence: int) -> Answer:
    source = f"{rows.source}:{rows.place(rows.row_of(sequence))}"
    return Answer(rows.response(sequence), source)
