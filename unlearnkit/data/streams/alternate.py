"""Alternate answers to another stream's prompts, paired row by row."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Container, Mapping
from typing import Any, ClassVar

from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.pool import Answer
from unlearnkit.data.rows.memory import RowSource
from unlearnkit.data.rows.same import UP_TO, keys_of
from unlearnkit.data.streams.answering import AnsweringStream
from unlearnkit.data.streams.answers import AnswerStream
from unlearnkit.data.streams.paired import PairedData
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.functional.self_bleu import least_alike as most_apart

logger = logging.getLogger(__name__)


class AlternateStream(AnsweringStream, name="alternate"):
    """Alternate answers, those of the file's n-th row to the n-th row of the prompts' file.

    The column may hold one text or an array of several; of several the draws take each equally
    often over the epochs. Rows are counted in their files, before ``where``, ``limit`` and
    ``on_bad_rows`` leave any out, so that the prompts may be a part of theirs. The file is the
    one that the prompts come from, or one of as many rows, or of the chosen rows if those are
    its first. What ``unlearnkit sample`` wrote of another model is such a file, with the column
    ``samples``.

    Args:
        path: A file, or the id of a data set on the Hugging Face Hub.
        prompts: The stream whose prompts are answered.
        alternate_field: The file's column that holds the alternate answer, or an array of them.
        per_prompt: Alternates per prompt and draw; ``dpo`` takes 1.
        least_alike: Of the alternates to a prompt keep so many alone, those with the lowest
            self-BLEU of tokens, such as 5 of 20 (Safe Unlearning); None for all.
        **file: Which rows of the file, and how they are read; see `AnswerStream`.

    Raises:
        RecipeError: If ``per_prompt`` is below 1, or ``least_alike`` below it.

    References:
        Mekala et al., 2024, arXiv:2409.13474 (AltPO, five alternates to each prompt). Zhang et al.,
        2024, arXiv:2407.02855 (Safe Unlearning, five of twenty samples of another model).
    """

    passes_on: ClassVar[tuple[type, ...]] = (AnswerStream,)

    def __init__(
        self,
        path: RowSource,
        prompts: str = "forget",
        alternate_field: str = "alternate",
        per_prompt: int = 1,
        least_alike: int | None = None,
        **file: Any,
    ) -> None:
        # A row that was left out would stand for another one, and draws follow the prompts'.
        self._file = AnswerStream(
            path,
            answers_field=alternate_field,
            explode=True,
            on_bad_rows="error",
            batch_size=None,
            **file,
        )
        super().__init__(prompts, per_prompt)
        if least_alike is not None and least_alike < per_prompt:
            raise RecipeError(
                f"least_alike: expected at least {per_prompt} (per_prompt), found {least_alike}"
            )
        self.least_alike = least_alike
        self._file.key = "alternate_field"

    @property
    def path(self) -> str:
        """The file, or what stands for it in messages."""
        return self._file.path

    def call(self, name: str) -> None:
        """Tells the stream's name to its answers; see `Stream.call`."""
        self._file.call(name)

    def check(self) -> None:
        """Reads and checks the file.

        Raises:
            DataError: With every bad row.
        """
        self._file.check()

    def encode(
        self, name: str, codec: Codec, others: Mapping[str, StreamData], seed: int
    ) -> StreamData:
        """Pairs answers and prompts.

        Raises:
            RecipeError: If the stream of prompts is not there.
            DataError: With every bad row, or if rows and prompts do not match.
        """
        prompts = self.prompt_rows(name, others)
        file = self._file.encode(name, codec, others, seed)
        assert isinstance(file, EncodedRows)
        answers = self._paired(prompts, file.in_frame(prompts.frame, codec))
        if self.least_alike is not None:
            answers = [[self._apart(some, codec) for some in row] for row in answers]
        data = PairedData(
            name,
            self.path,
            prompts,
            answers,
            self.per_prompt,
            codec.max_length,
            seed,
            keys_of=keys_of(codec),
        )
        places = {place.row: place for place in map(file.place, range(len(file)))}
        problems = [
            Problem(self.path, places[prompts.place(row).row], None, "its own answer", "another")
            for row in data.rows_not_served()
        ]
        if problems:
            raise DataError(problems)
        if count := data.count_own():
            logger.warning(
                "%s: %d of %d alternates are the prompt's own answer but for %s, and are left out",
                self.path,
                count,
                sum(len(each) for row in answers for each in row),
                UP_TO,
            )
        return data

    def _paired(self, prompts: EncodedRows, file: EncodedRows) -> list[list[list[Answer]]]:
        of_row: defaultdict[int, list[Answer]] = defaultdict(list)
        for row in range(len(file)):
            own = (Answer(each.response_ids, each.source) for each in file.at(row, 0))
            of_row[file.place(row).row] += own
        self._check_pairs(prompts, file, of_row)
        return [[of_row[prompts.place(row).row]] for row in range(len(prompts))]

    def _apart(self, answers: list[Answer], codec: Codec) -> list[Answer]:
        end = set(codec.end_ids)
        said = [[token for token in each.ids if token not in end] for each in answers]
        return [answers[i] for i in most_apart(said, self.least_alike or len(said))]

    def _check_pairs(
        self, prompts: EncodedRows, file: EncodedRows, numbers: Container[int]
    ) -> None:
        """Raises a DataError unless each prompt has answers of its own number."""
        problems = [
            Problem(prompts.source, prompts.place(row), None, f"{turns} turns to learn", "one")
            for row in range(len(prompts))
            if (turns := prompts.lengths(row, 0)[0]) > 1
        ]
        same = prompts.source == self.path
        # A row that was dropped counts: without it the rows after it would stand for others.
        if not same and file.file_rows != prompts.file_rows and file.taken != prompts.taken:
            expected = (
                f"{prompts.file_rows}, as {prompts.source} of the stream '{prompts.name}' has: "
                "row n answers row n"
            )
            problems.append(Problem(self.path, None, None, f"{file.file_rows} rows", expected))
        else:
            lacking = f"a prompt without an alternate answer in {self.path}"
            problems += [
                Problem(prompts.source, prompts.place(row), None, lacking, "one in the same row")
                for row in range(len(prompts))
                if prompts.place(row).row not in numbers
            ]
        if problems:
            raise DataError(problems)
