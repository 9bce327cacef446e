"""Base classes of streams."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Generic, Literal, Self

from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.rows.memory import RowSource, name_of, read_source
from unlearnkit.data.rows.nested import with_fields
from unlearnkit.data.rows.reader import Table
from unlearnkit.data.rows.table import Files, chosen, located
from unlearnkit.data.rows.where import Scalar, refuse_empty
from unlearnkit.data.streams.checked import Checked, SampleT
from unlearnkit.data.tokens.codec import Codec, DoesNotFit
from unlearnkit.data.tokens.frame import Frame
from unlearnkit.data.tokens.spelled import SpelledOut
from unlearnkit.errors import DataError, Place, Problem, RecipeError, in_file_order
from unlearnkit.registry import Registered

logger = logging.getLogger(__name__)

OnBadRows = Literal["error", "drop"]
Tokens = tuple[list[int], list[int]]
"""Prompt ids and response ids, the response not yet cut."""

_BATCH = 1000


class Stream(Registered, ABC):
    """A recipe's description of a stream: cheap to build, and reads nothing before `check`.

    Args:
        batch_size: Rows per micro-batch and process; by default the data's ``batch_size``.
        on_bad_rows: ``error`` stops at rows that cannot be used and names all of them; ``drop``
            leaves them out and logs how many.

    Raises:
        RecipeError: If the batch size is not positive.
    """

    answered: ClassVar[bool] = True
    """Whether its rows have responses, which a loss can read."""

    def __init__(self, batch_size: int | None = None, on_bad_rows: OnBadRows = "error") -> None:
        if batch_size is not None and batch_size < 1:
            raise RecipeError(f"batch_size: expected at least 1, found {batch_size}")
        self.batch_size = batch_size
        self.on_bad_rows: OnBadRows = on_bad_rows

    def call(self, name: str) -> None:
        """Tells the stream its name in the recipe, for messages about rows without a file."""

    def depends_on(self) -> tuple[str, ...]:
        """Names of the streams that must be encoded before this one."""
        return ()

    @abstractmethod
    def check(self) -> None:
        """Reads the file and checks all that can be checked without a tokenizer.

        Raises:
            DataError: With every bad row.
        """

    @abstractmethod
    def encode(
        self, name: str, codec: Codec, others: Mapping[str, StreamData], seed: int
    ) -> StreamData:
        """Tokenises the stream.

        Args:
            name: The stream's name in the recipe.
            codec: Tokenizer and maximal length.
            others: The streams it depends on, encoded.
            seed: Seed of whatever it draws at random.

        Raises:
            DataError: With every bad row.
        """


class FileStream(Stream, ABC, Generic[SampleT]):
    """A stream whose rows are those of one file or data set.

    A subclass turns the file's rows into samples (`parse`), and samples into token ids
    (`tokenise`); reading, bad rows and cutting are done here.

    Args:
        path: A file (JSON lines, JSON, CSV, TSV, Parquet, text), a folder of such, a pattern
            such as ``data/*.jsonl``, or the id of a data set on the Hugging Face Hub. In a
            program also the rows: a list of mappings or texts, or a ``datasets.Dataset``.
        split: A split, or a part of one such as ``train[:70%]``; a file is ``train``.
        config: Configuration of a data set on the Hub, or file of a folder.
        where: Keep only rows whose fields have these values, such as ``{is_safe: false}``.
        limit: Use the first rows only.
        batch_size: Rows per micro-batch and process; by default the data's ``batch_size``.
        on_bad_rows: ``error`` stops at rows that cannot be used and names all of them; ``drop``
            leaves them out and logs how many.
        rows_at: Where the rows stand in the file's objects, such as ``data`` or ``data.*.pairs``;
            the fields beside the way there go with each row, and ``*`` is every item.
    """

    lines: ClassVar[bool] = False
    """Whether each line of a plain text file is a row, whatever the file's suffix."""

    def __init__(
        self,
        path: RowSource,
        split: str = "train",
        config: str | None = None,
        where: dict[str, Scalar] | None = None,
        limit: int | None = None,
        batch_size: int | None = None,
        on_bad_rows: OnBadRows = "error",
        rows_at: str | None = None,
    ) -> None:
        super().__init__(batch_size, on_bad_rows)
        if limit is not None and limit < 1:
            raise RecipeError(f"limit: expected at least 1, found {limit}")
        self._source, self.path = path, name_of(path)
        self.split, self.config = split, config
        self.where, self.limit, self.rows_at = where or {}, limit, rows_at
        self._checked: Checked[SampleT] | None = None
        self._files: Files = ()

    def call(self, name: str) -> None:
        """Puts the stream's name in the place of a file's, where rows are in memory."""
        self.path = name_of(self._source, name)

    def with_rows_of(self, path: str) -> Self:
        """A copy of the stream that reads another file."""
        other = copy.copy(self)
        other._source = other.path = path
        return other

    @abstractmethod
    def fields(self) -> tuple[str, ...]:
        """The fields of the file that the recipe names; each may be a dotted name."""

    @property
    def bare_field(self) -> str | None:
        """The field that plain texts stand for, of a stream that needs no other."""
        return None

    @abstractmethod
    def parse(self, table: Table) -> tuple[Sequence[SampleT], list[Problem]]:
        """Samples of the good rows, and the problems of the others."""

    def count(self, table: Table) -> int:
        """Samples that the table's rows would give if all were good."""
        return len(table.rows)

    @abstractmethod
    def tokenise(
        self, samples: Sequence[SampleT], codec: Codec
    ) -> Iterable[Iterable[list[Tokens]] | Problem]:
        """For each sample, the rows it gives (each one or more sequences), or its problem."""

    def rows_for(self, name: str, seed: int) -> EncodedRows:
        """What holds the rows; the seed is for draws."""
        return EncodedRows(name, self.path)

    def fit(self, codec: Codec, tokens: Tokens) -> Tokens:
        """The sequence, cut to the maximal length.

        Raises:
            DoesNotFit: If nothing of it could be learned.
        """
        prompt, response = tokens
        return prompt, codec.fit(prompt, response)

    def frame(self, codec: Codec) -> Frame:
        """What stands around the words of each answer; by default nothing but EOS."""
        return Frame()

    @abstractmethod
    def text_of(self, sample: SampleT) -> str:
        """The sample's text, by which rows in two streams are recognised."""

    def check(self) -> None:
        """Reads the file and checks all that can be checked without a tokenizer.

        Raises:
            DataError: With every bad row.
        """
        self.take(self.read())

    def read(self) -> Table:
        """The file's rows, of those that the stream takes.

        Raises:
            DataError: If the file cannot be read, or has none.
        """
        return self.selected(self.read_all())

    def read_all(self) -> Table:
        """The file's rows before any is chosen.

        Raises:
            DataError: If the file cannot be read, or has none.
        """
        how = {"split": self.split, "config": self.config, "rows_at": self.rows_at}
        table = read_source(self._source, self.path, lines=self.lines, **how)
        return with_fields(table, [*self.fields(), *self.where], self.bare_field)

    def take(self, table: Table) -> None:
        """Checks rows in place of those of the file.

        Raises:
            DataError: With every bad row.
        """
        # Kept although it may be refused: `encode` tells the rows that do not fit together with it.
        self._checked = self._look(table)
        self._refuse(self._checked.problems, kept=len(self._checked.samples))

    def _look(self, table: Table) -> Checked[SampleT]:
        samples, problems = self.parse(table)
        problems = sorted([*table.problems, *problems], key=in_file_order)
        self._files = table.files
        total = self.count(table) + len({problem.place for problem in table.problems})
        return Checked(samples, problems, total, table.total, table.row_numbers())

    def encode(
        self, name: str, codec: Codec, others: Mapping[str, StreamData], seed: int
    ) -> StreamData:
        """Tokenises every row.

        Raises:
            DataError: With every bad row.
        """
        checked, self._checked = self._checked or self._look(self.read()), None
        data, unfit = self.rows_for(name, seed), []
        data.file_rows, data.taken = checked.file_rows, checked.taken
        data.answered, data.frame = self.answered, self.frame(codec)
        spelled = SpelledOut(self.path, codec)
        for sample, rows in self._tokenised(checked.samples, codec):
            text = self.text_of(sample)
            rows = spelled.see(text, sample.place) or rows
            if isinstance(rows, Problem):
                unfit.append(rows)
                continue
            fitted: list[list[Tokens]] = []
            cut: dict[int, int] = {}
            try:
                for row in rows:
                    fitted.append([self.fit(codec, tokens) for tokens in row])
                    if lost := sum(len(r) for _, r in row) - sum(len(r) for _, r in fitted[-1]):
                        cut[len(data) + len(fitted) - 1] = lost
            except DoesNotFit as error:
                unfit.append(Problem(self.path, sample.place, None, error.found, error.expected))
                continue
            data.cut |= cut
            data.extend(fitted, sample.place, text)
        problems = sorted([*checked.problems, *unfit], key=in_file_order)
        self._refuse(problems, kept=len(data))
        spelled.tell()
        data.dropped = checked.total - (len(checked.samples) - len(unfit))
        self._report(problems, data.dropped, checked.total)
        return data

    def selected(self, table: Table) -> Table:
        """The rows that ``where`` and ``limit`` leave, with their places in the file.

        Raises:
            DataError: If ``where`` leaves none.
        """
        selected = chosen(table, self.where, self.limit)
        if self.where and table.rows and not selected.rows:
            refuse_empty(self.path, table.rows, self.where)
        return selected

    def _tokenised(
        self, samples: Sequence[SampleT], codec: Codec
    ) -> Iterator[tuple[SampleT, Iterable[list[Tokens]] | Problem]]:
        for start in range(0, len(samples), _BATCH):
            part = samples[start : start + _BATCH]
            yield from zip(part, self.tokenise(part, codec), strict=True)

    def _refuse(self, problems: list[Problem], kept: int) -> None:
        broken = [each for each in problems if not isinstance(each.place, Place)]  # rows unknown
        if problems and (self.on_bad_rows == "error" or not kept or broken):
            drop = "Mend the rows, or set `on_bad_rows: drop` of the stream to leave them out."
            hint = "Mend the file: what follows the fault cannot be read." if broken else drop
            problems = [located(each, self._files) for each in problems]
            raise DataError(problems, hint=hint if kept else None)

    def _report(self, problems: list[Problem], dropped: int, total: int) -> None:
        if dropped:
            shown = [str(located(each, self._files)) for each in problems[:3]]
            reasons = "; ".join(shown) + ("; ..." if len(problems) > 3 else "")
            logger.warning("%s: %d of %d rows dropped: %s", self.path, dropped, total, reasons)
