"""Random answers to the prompts of another stream."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.pool import Answer, AnswerPool
from unlearnkit.data.rows.same import UP_TO, keys_of
from unlearnkit.data.streams.answers import AnswerStream
from unlearnkit.data.streams.base import OnBadRows, Stream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.registry import did_you_mean

logger = logging.getLogger(__name__)


class MismatchStream(Stream, name="mismatch"):
    """Random answers to another stream's prompts, never their own, drawn anew each epoch.

    The pool of answers is walked without replacement, pass after pass, each in a random order of
    its own; which answers a prompt gets is a function of the seed, the stream's name and the
    number of the draw alone. Each of the prompt's answers is a sequence of the same row, so a
    forget prompt and its random answers are in the same step.

    Args:
        prompts: The stream whose prompts are answered.
        answers: The stream whose responses are the pool, or a file or data set of answers.
        answers_field: The file's column that holds the answers.
        per_prompt: Random answers per prompt.
        explode: The file's column holds arrays of texts, each of which is an answer.
        split: A split, or a part of one such as ``train[:70%]``; a file is ``train``.
        config: Configuration of a data set on the Hub, or file of a folder.
        on_bad_rows: ``error`` stops at answers that cannot be used and names all of them;
            ``drop`` leaves them out and logs how many.
        rows_at: Where the rows of the file stand in its objects, such as ``data``.

    Raises:
        RecipeError: If ``per_prompt`` is below 1.

    References:
        Yao et al., 2023, arXiv:2310.10683, equation 3 (the set of random answers).
    """

    def __init__(
        self,
        prompts: str = "forget",
        answers: str = "retain",
        answers_field: str = "response",
        per_prompt: int = 5,
        explode: bool = False,
        split: str = "train",
        config: str | None = None,
        on_bad_rows: OnBadRows = "error",
        rows_at: str | None = None,
    ) -> None:
        super().__init__(None, on_bad_rows)
        if per_prompt < 1:
            raise RecipeError(f"per_prompt: expected at least 1, found {per_prompt}")
        self.prompts, self.answers, self.per_prompt = prompts, answers, per_prompt
        self._file = None
        if "/" in answers or "." in answers:
            self._file = AnswerStream(
                answers,
                answers_field,
                explode,
                split,
                config,
                on_bad_rows=on_bad_rows,
                rows_at=rows_at,
            )

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
        prompts = stream_of_rows(name, "prompts", self.prompts, others)
        if self._file:
            answers = self._file.encode(name, codec, others, seed)
        else:
            answers = stream_of_rows(name, "answers", self.answers, others)
        data = MismatchData(name, prompts, answers, self.per_prompt, codec, seed)
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
        answers: StreamData,
        per_prompt: int,
        codec: Codec,
        seed: int,
    ) -> None:
        super().__init__(name, source=answers.source, follows=prompts.name)
        self._prompts, self._per_prompt = prompts, per_prompt
        pool = [
            Answer(example.response_ids, example.source)
            for row in range(len(answers))
            for example in answers.at(row, 0)
        ]
        self._pool = AnswerPool(name, pool, codec.max_length, seed, keys_of=keys_of(codec))
        self._most_turns = max(prompts.lengths(row, 0)[0] for row in range(len(prompts)))
        self._check_other_answers()
        self._tell_of_own_answers()

    def _tell_of_own_answers(self) -> None:
        owns = (own for row in range(len(self)) for own in self._prompts.at(row, 0))
        if count := self._pool.count_own(owns, reworded=True):
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
            for own in self._prompts.at(row, 0)
            if not self._pool.serves(own)
        ]
        if problems:
            raise DataError(problems, hint=f"Add other answers to {self.source}.")

    def __len__(self) -> int:
        """Rows in one pass: the prompts'."""
        return len(self._prompts)

    def at(self, row: int, occurrence: int) -> list[Example]:
        """The row's prompt with each of its random answers; more for a row of several turns."""
        return [
            Example(own.prompt_ids, answer.ids, row, answer.source)
            for turn, own in enumerate(self._prompts.at(row, occurrence))
            for answer in self._pool.draw(
                own, (occurrence * self._most_turns + turn) * self._per_prompt, self._per_prompt
            )
        ]


def stream_of_rows(
    name: str, key: str, wanted: str, others: Mapping[str, StreamData]
) -> EncodedRows:
    """The stream that another one names under a key of its own.

    Raises:
        RecipeError: If it is not there, or has no rows of its own.
    """
    found = others.get(wanted)
    if isinstance(found, EncodedRows) and (found.answered or key != "answers"):
        return found
    known = [other for other, data in others.items() if isinstance(data, EncodedRows)]
    kind = "a stream of rows" if found else "a stream of this recipe"
    if found is not None and not found.answered:
        kind = "a stream with answers"
    or_file = ", or a file with its suffix" if key == "answers" else ""
    raise RecipeError(
        f"data.streams.{name}.{key}: '{wanted}' is not {kind}{or_file}."
        f"{did_you_mean(wanted, known)}",
        hint=f"Streams of rows: {', '.join(known) or 'none'}.",
    )
