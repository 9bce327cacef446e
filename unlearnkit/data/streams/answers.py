"""Pools of answers without prompts, read from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from unlearnkit.data.rows.memory import RowSource
from unlearnkit.data.rows.packed import Mapped
from unlearnkit.data.rows.reader import Row, Table
from unlearnkit.data.rows.several import check_separator, exploded, warn_if_joined
from unlearnkit.data.rows.values import check_columns, check_fields
from unlearnkit.data.streams.base import FileStream, Tokens
from unlearnkit.data.tokens.codec import Codec, DoesNotFit
from unlearnkit.errors import Place, Problem


class AnswerText(NamedTuple):
    """One answer."""

    place: Place
    text: str


class AnswerStream(FileStream[AnswerText]):
    """Rows of an answer alone; they are cut when they meet a prompt, not before.

    Args:
        path: A file, or the id of a data set on the Hugging Face Hub. Of a plain text file,
            whatever its suffix, each line is an answer.
        answers_field: The file's column that holds the answer.
        explode: The column holds arrays of texts, each of which is an answer.
        separator: Stands between the texts of the column, such as ``"; "``, each of which is
            an answer; blank ones are left out.
        **file: Which rows of the file, and how they are read; see `FileStream`.
    """

    lines: ClassVar[bool] = True

    def __init__(
        self,
        path: RowSource,
        answers_field: str = "response",
        explode: bool = False,
        separator: str | None = None,
        **file: Any,
    ) -> None:
        super().__init__(path, **file)
        check_separator(separator)
        self.answers_field, self.explode, self.separator = answers_field, explode, separator
        self.key = "answers_field"
        """The recipe's key for the column, for messages."""

    def fields(self) -> tuple[str, ...]:
        """The answer."""
        return (self.answers_field,)

    @property
    def bare_field(self) -> str:
        """The answer."""
        return self.answers_field

    def parse(self, table: Table) -> tuple[Sequence[AnswerText], list[Problem]]:
        """Answers that are text."""
        columns = {self.key: self.answers_field}
        check_columns(table, columns)
        warn_if_joined(table, self.answers_field, self.separator)
        table = self._exploded(table)
        rows, problems = check_fields(table, columns)
        return Mapped(rows, self._text), problems

    def _text(self, row: Row) -> AnswerText:
        return AnswerText(row.place, row.fields[self.answers_field])

    def count(self, table: Table) -> int:
        """Answers that the table's rows would give if all were good."""
        return len(self._exploded(table).rows)

    def _exploded(self, table: Table) -> Table:
        if self.explode or self.separator is not None:
            return exploded(table, self.answers_field, self.separator)
        return table

    def tokenise(self, samples: Sequence[AnswerText], codec: Codec) -> Iterator[list[list[Tokens]]]:
        """One row per answer, with an empty prompt."""
        return ([[([], ids)]] for ids in codec.responses([sample.text for sample in samples]))

    def fit(self, codec: Codec, tokens: Tokens) -> Tokens:
        """The whole answer; see `FileStream.fit`."""
        if codec.content_length(tokens[1]) == 0:
            raise DoesNotFit("an answer of 0 tokens", "at least 1")
        return tokens

    def text_of(self, sample: AnswerText) -> str:
        """The answer."""
        return sample.text
