"""Other answers to the prompts of another stream, row by row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from unlearnkit.data.answers import AnswerStream
from unlearnkit.data.codec import Codec
from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.mismatch import place_of, stream_of_rows
from unlearnkit.data.paired import PairedData
from unlearnkit.data.pool import Answer
from unlearnkit.data.streams import Scalar, Stream
from unlearnkit.errors import DataError, Problem, RecipeError


class AlternateStream(Stream, name="alternate"):
    """Alternate answers, the n-th of the file to the n-th row of another stream.

    The column may hold one text or an array of several; of several the draws take each equally
    often over the epochs. If the file is the one that the prompts come from, answers and prompts
    are paired by line, so that the prompts may be a part of the file; else the file has to have
    as many rows as the prompts.

    Args:
        path: A file, or the id of a data set on the Hugging Face Hub.
        prompts: The stream whose prompts are answered.
        alternate_field: The file's column that holds the alternate answer, or an array of them.
        per_prompt: Alternates per prompt and draw; ``dpo`` takes 1.
        split: Split of a data set on the Hub.
        config: Configuration of a data set on the Hub.
        where: Keep only rows whose fields have these values.
        limit: Use the first rows only.
        rows_at: Where the rows stand in the file's objects, such as ``data``.

    Raises:
        RecipeError: If ``per_prompt`` is below 1.

    References:
        Mekala et al., 2024, arXiv:2409.13474 (AltPO, five alternates to each prompt).
    """

    def __init__(
        self,
        path: str,
        prompts: str = "forget",
        alternate_field: str = "alternate",
        per_prompt: int = 1,
        split: str = "train",
        config: str | None = None,
        where: dict[str, Scalar] | None = None,
        limit: int | None = None,
        rows_at: str | None = None,
    ) -> None:
        super().__init__()
        if per_prompt < 1:
            raise RecipeError(f"per_prompt: expected at least 1, found {per_prompt}")
        self.path, self.prompts, self.per_prompt = path, prompts, per_prompt
        self._file = AnswerStream(
            path, alternate_field, True, split, config, where, limit, rows_at=rows_at
        )

    def depends_on(self) -> tuple[str, ...]:
        """The stream of prompts."""
        return (self.prompts,)

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
        prompts = stream_of_rows(name, "prompts", self.prompts, others)
        file = self._file.encode(name, codec, others, seed)
        assert isinstance(file, EncodedRows)
        answers = self._paired(prompts, _by_line(file))
        data = PairedData(
            name, self.path, prompts, answers, self.per_prompt, codec.max_length, seed
        )
        problems = [
            Problem(*place_of(answers[row][0][0].source), None, "its own answer", "another")
            for row in data.rows_not_served()
        ]
        if problems:
            raise DataError(problems)
        return data

    def _paired(
        self, prompts: EncodedRows, by_line: Mapping[int, list[Answer]]
    ) -> list[list[list[Answer]]]:
        problems = [
            Problem(prompts.source, prompts.lines[row], None, f"{turns} turns to learn", "one")
            for row in range(len(prompts))
            if (turns := prompts.lengths(row, 0)[0]) > 1
        ]
        if prompts.source == self.path:
            problems += [
                Problem(self.path, line, None, "a prompt without an alternate answer", "one")
                for line in prompts.lines
                if line not in by_line
            ]
        elif len(by_line) != len(prompts):
            found = f"{len(by_line)} rows"
            expected = f"{len(prompts)}, as the stream '{prompts.name}' ({prompts.source}) has"
            problems.append(Problem(self.path, None, None, found, expected))
        if problems:
            raise DataError(problems)
        if prompts.source == self.path:
            return [[by_line[line]] for line in prompts.lines]
        return [[each] for each in by_line.values()]


def _by_line(file: EncodedRows) -> dict[int, list[Answer]]:
    found: defaultdict[int, list[Answer]] = defaultdict(list)
    for row, line in enumerate(file.lines):
        found[line] += [Answer(each.response_ids, each.source) for each in file.at(row, 0)]
    return found
