"""Pairs of prompt and response."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from unlearnkit.data.rows.memory import RowSource
from unlearnkit.data.rows.packed import Mapped, Packed
from unlearnkit.data.rows.reader import Row, Table
from unlearnkit.data.rows.several import check_separator, exploded, warn_if_joined
from unlearnkit.data.rows.table import chosen
from unlearnkit.data.rows.values import check_columns, check_fields
from unlearnkit.data.streams.base import FileStream, Scalar, Tokens
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.frame import Frame
from unlearnkit.errors import Place, Problem, RecipeError


class Pair(NamedTuple):
    """A prompt and its response, as text."""

    place: Place
    prompt: str
    response: str


@dataclasses.dataclass(frozen=True)
class ResponseColumn:
    """One of several columns that hold a response to the same prompt.

    Args:
        field: The file's column.
        where: Take the response only from rows whose fields have these values.
    """

    field: str
    where: dict[str, Scalar] = dataclasses.field(default_factory=dict)


class QAStream(FileStream[Pair], name="qa"):
    r"""Rows of a prompt and a response, such as questions and answers.

    Args:
        path: A file (JSON lines, JSON, CSV, TSV, Parquet), or the id of a data set on the Hugging
            Face Hub.
        prompt_field: The file's column that holds the prompt.
        response_field: The file's column that holds the response.
        template: Text around the prompt, such as ``"Question: {prompt}\nAnswer:"``; with
            ``{response}`` at its end, around both: white space before it belongs to the response,
            as in running text, so that it is tokenised alike.
        responses: Columns, in place of ``response_field``, of files that have several responses
            in a row, such as ``[{field: response_0, where: {is_response_0_safe: false}}, ...]``.
        explode: The response column holds arrays of texts, each of which is a response.
        separator: Stands between the texts of the column, such as ``"; "``, each of which is
            a response; blank ones are left out.
        **file: Which rows of the file, and how they are read; see `FileStream`.

    Raises:
        RecipeError: If the template does not hold ``{prompt}``, or goes on after ``{response}``;
            if ``responses`` is empty, or ``response_field`` is given beside it.
    """

    def __init__(
        self,
        path: RowSource,
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str = "{prompt}",
        responses: list[ResponseColumn] | None = None,
        explode: bool = False,
        separator: str | None = None,
        **file: Any,
    ) -> None:
        super().__init__(path, **file)
        if "{prompt}" not in template:
            raise RecipeError(f"template: expected {{prompt}} somewhere, found {template!r}")
        if "{response}" in template.removesuffix("{response}"):
            raise RecipeError(f"template: nothing may follow {{response}}, found {template!r}")
        if responses == []:
            raise RecipeError("responses: expected at least one column, found none")
        if responses and response_field != "response":
            raise RecipeError("response_field and responses: expected one of them, found both")
        check_separator(separator)
        self.prompt_field, self.response_field = prompt_field, response_field
        self.template, self.explode, self.separator = template, explode, separator
        self.responses = [_column(each) for each in responses or []]

    def fields(self) -> tuple[str, ...]:
        """Prompt and response, and those of conditions."""
        columns = [name for column, where in self._columns() for name in (column, *where)]
        return (self.prompt_field, *columns)

    def parse(self, table: Table) -> tuple[Sequence[Pair], list[Problem]]:
        """Pairs of text, in the order of the file."""
        parts: list[Sequence[Pair]] = []
        problems: list[Problem] = []
        prompt, columns = self.prompt_field, self._columns()
        for number, (column, where) in enumerate(columns, start=1):
            part = self._part(table, column, where)
            warn_if_joined(part if self.separator is None else table, column, self.separator)
            rows, faults = check_fields(part, self._keys(column), may_be_empty=[prompt])
            number = number if len(columns) > 1 else 0
            parts.append(Mapped(rows, partial(self._pair, column, number)))
            problems += [_of_whole_row(each) if each.field == prompt else each for each in faults]
        pairs = parts[0] if len(parts) == 1 else _merged(parts)
        if table.rows and not pairs and not problems:
            wanted = "at least one response whose conditions under `responses` hold"
            problems = [Problem(table.file, None, None, "none", wanted)]
        return pairs, list(dict.fromkeys(problems))

    def _pair(self, column: str, number: int, row: Row) -> Pair:
        place = row.place._replace(column=number)
        return Pair(place, row.fields[self.prompt_field], row.fields[column])

    def count(self, table: Table) -> int:
        """Responses that the table's rows would give if all were good."""
        return sum(len(self._part(table, *each).rows) for each in self._columns())

    def _columns(self) -> list[tuple[str, dict[str, Scalar]]]:
        if self.responses:
            return [(each.field, each.where) for each in self.responses]
        return [(self.response_field, {})]

    def _keys(self, column: str) -> dict[str, str]:
        key = "responses" if self.responses else "response_field"
        return {"prompt_field": self.prompt_field, key: column}

    def _part(self, table: Table, column: str, where: Mapping[str, Scalar]) -> Table:
        """The rows that give a response from this column, one for each response."""
        check_columns(table, self._keys(column) | {f"responses.{key}": key for key in where})
        part = chosen(table, where)
        if self.explode or self.separator is not None:
            return exploded(part, column, self.separator)
        return part

    def tokenise(self, samples: Sequence[Pair], codec: Codec) -> Iterable[list[list[Tokens]]]:
        """One row per pair."""
        framed = [self._framed(sample, codec) for sample in samples]
        prompts = codec.prompts([prompt for prompt, _ in framed])
        responses = codec.responses([response for _, response in framed])
        return ([[pair]] for pair in zip(prompts, responses, strict=True))

    def frame(self, codec: Codec) -> Frame:
        """The white space of the template before each response."""
        return Frame(self._halves[1])

    def text_of(self, sample: Pair) -> str:
        """Prompt and response, without the template."""
        return f"{sample.prompt}\n{sample.response}"

    def _framed(self, sample: Pair, codec: Codec) -> tuple[str, str]:
        """Prompt and response with the template's text."""
        start, space = self._halves
        return codec.framed(start, sample.prompt), space + sample.response

    @property
    def _halves(self) -> tuple[str, str]:
        """The template up to where a response begins, and the white space before that."""
        before, around_both, _ = self.template.partition("{response}")
        start = before.rstrip() if around_both else before
        return start, before[len(start) :]


def _column(given: ResponseColumn | Mapping[str, Any]) -> ResponseColumn:
    return given if isinstance(given, ResponseColumn) else ResponseColumn(**given)


def _merged(parts: Sequence[Sequence[Pair]]) -> Sequence[Pair]:
    """The pairs of all columns, row by row."""
    return Packed(
        heapq.merge(*parts, key=lambda pair: pair.place.identity),
        lambda pair: (*pair.place, pair.prompt, pair.response),
        lambda value: Pair(Place(*value[:4]), *value[4:]),
    )


def _of_whole_row(problem: Problem) -> Problem:
    """A prompt's fault, said once however many responses it has."""
    assert isinstance(problem.place, Place)
    return problem._replace(place=problem.place._replace(part=0))
