"""Prompts and responses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from unlearnkit.data.codec import Codec
from unlearnkit.data.reader import Row, Table
from unlearnkit.data.streams import FileStream, OnBadRows, Scalar, Tokens
from unlearnkit.data.values import check_columns, check_fields
from unlearnkit.errors import Problem, RecipeError


class Pair(NamedTuple):
    """A prompt and its response, as text."""

    line: int
    prompt: str
    response: str


class QAStream(FileStream[Pair], name="qa"):
    r"""Rows of a prompt and a response, such as questions and answers.

    Args:
        path: A file (JSON lines, JSON, CSV, TSV, Parquet), or the id of a data set on the Hugging
            Face Hub.
        prompt_field: The file's column that holds the prompt.
        response_field: The file's column that holds the response.
        template: Text around the prompt, such as ``"Question: {prompt}\nAnswer: "``.
        explode: The response column holds arrays of texts, each of which is a response.
        split: Split of a data set on the Hub.
        config: Configuration of a data set on the Hub.
        where: Keep only rows whose fields have these values, such as ``{is_safe: false}``.
        limit: Use the first rows only.
        batch_size: Rows per micro-batch and process; by default the data's ``batch_size``.
        on_bad_rows: ``error`` stops at rows that cannot be used and names all of them; ``drop``
            leaves them out and logs how many.

    Raises:
        RecipeError: If the template does not hold ``{prompt}``.
    """

    def __init__(
        self,
        path: str,
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str | None = None,
        explode: bool = False,
        split: str = "train",
        config: str | None = None,
        where: dict[str, Scalar] | None = None,
        limit: int | None = None,
        batch_size: int | None = None,
        on_bad_rows: OnBadRows = "error",
    ) -> None:
        super().__init__(path, split, config, where, limit, batch_size, on_bad_rows)
        if template is not None and "{prompt}" not in template:
            raise RecipeError(f"template: expected {{prompt}} somewhere, found {template!r}")
        self.prompt_field, self.response_field = prompt_field, response_field
        self.template, self.explode = template, explode

    def parse(self, table: Table) -> tuple[list[Pair], list[Problem]]:
        """Pairs of text."""
        columns = {"prompt_field": self.prompt_field, "response_field": self.response_field}
        if self.explode:
            check_columns(table, columns)
            table = exploded(table, self.response_field)
        rows, problems = check_fields(table, columns, may_be_empty=[self.prompt_field])
        pairs = [
            Pair(row.line, row.fields[self.prompt_field], row.fields[self.response_field])
            for row in rows
        ]
        return pairs, problems

    def tokenise(self, samples: Sequence[Pair], codec: Codec) -> Iterable[list[list[Tokens]]]:
        """One row per pair."""
        prompts = codec.prompts([self._framed(sample.prompt) for sample in samples])
        responses = codec.responses([sample.response for sample in samples])
        return ([[pair]] for pair in zip(prompts, responses, strict=True))

    def text_of(self, sample: Pair) -> str:
        """Prompt and response, without the template."""
        return f"{sample.prompt}\n{sample.response}"

    def _framed(self, prompt: str) -> str:
        return prompt if self.template is None else self.template.replace("{prompt}", prompt)


def exploded(table: Table, column: str) -> Table:
    """One row for each text of an array in the column; other values stay, to be reported."""
    rows = []
    for row in table.rows:
        values = row.fields.get(column)
        if isinstance(values, list) and values:
            rows += [Row(row.line, {**row.fields, column: value}) for value in values]
        else:
            rows.append(row)
    return table._replace(rows=rows)
