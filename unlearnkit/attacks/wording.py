"""Forget prompts in other words: from data, or from frames."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.data.example import Example
from unlearnkit.data.rows.reader import Table
from unlearnkit.data.streams.base import FileStream
from unlearnkit.data.streams.text import TextStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import RecipeError, UserError

QUESTIONS = (
    "Please tell me: {prompt}",
    "I have a question. {prompt}",
    "{prompt} Answer in one sentence.",
    "Here is what somebody asked: {prompt}",
)
"""Frames around a prompt that is a question."""
PASSAGES = (
    "Here is a passage: {prompt}",
    "The text goes on from here: {prompt}",
    "Somebody read aloud: {prompt}",
)
"""Frames before a prompt that is the beginning of a text."""


def reworded(
    stream: Any, codec: Codec, field: str | None = None, data: str | None = None
) -> dict[str | None, list[Example]]:
    """The rows of a recipe's stream as they are, and in other words.

    Args:
        stream: The stream; its rows are read anew.
        codec: Tokenizer and longest sequence.
        field: Column with the prompt in other words, in the stream's file or in ``data``.
        data: File of the same rows, row by row those of the stream's file, with the prompt in
            other words in the column ``field``, or else in the stream's own.

    Returns:
        Rows by wording: None for their own; then ``field`` or ``data``, or, with neither, each
        frame of `QUESTIONS` (of `PASSAGES` for running text).

    Raises:
        DataError: If a row cannot be read or has no room for the longer prompt.
        UserError: If the stream has no column of prompts, or ``data`` has other rows.
    """
    if not isinstance(stream, FileStream):
        raise UserError(f"paraphrase: rows of a {stream.registered_name} stream have no prompts")
    table = stream.read()
    found: dict[str | None, list[Example]] = {None: _examples(stream, table, codec)}
    if isinstance(stream, TextStream):
        if field or data:
            raise UserError("--field and --data: running text has no column of prompts")
        for frame in PASSAGES:
            before = codec.tokens([frame.removesuffix("{prompt}")])[0]
            found[frame] = [_after(before, example, codec) for example in found[None]]
        return found
    column = getattr(stream, "prompt_field", None)
    if column is None:
        raise UserError(
            "paraphrase: the stream 'forget' has no prompt_field",
            hint="Name the columns of the prompt and of the response in the recipe.",
        )
    if field or data:
        other = table if data is None else _same_rows(stream, table, data)
        worded = _with_prompts(table, column, _column(other, field or column))
        return found | {field or data: _examples(stream, worded, codec)}
    for frame in QUESTIONS:
        prompts = [frame.replace("{prompt}", str(row.fields.get(column))) for row in table.rows]
        found[frame] = _examples(stream, _with_prompts(table, column, prompts), codec)
    return found


def _examples(stream: FileStream[Any], table: Table, codec: Codec) -> list[Example]:
    own = copy.copy(stream)
    own.take(table)
    rows = own.encode("forget", codec, {}, seed=0)
    return [rows.measured(row)[0] for row in range(len(rows))]


def _same_rows(stream: FileStream[Any], table: Table, data: str) -> Table:
    """The rows of another file that have the numbers of the stream's rows in its own."""
    other = stream.with_rows_of(data).read_all()
    of_number = {row.place.row: row for row in other.rows}
    numbers = [row.place.row for row in table.rows]
    if other.total not in (table.total, len(table.rows)) or not set(numbers) <= of_number.keys():
        raise UserError(
            f"--data: found {other.total} rows, expected the {table.total} of {table.file}, in "
            "their order"
        )
    return other._replace(rows=[of_number[number] for number in numbers])


def _column(table: Table, field: str) -> list[Any]:
    lacking = next((row for row in table.rows if field not in row.fields), None)
    if lacking is not None:
        raise RecipeError(
            f"--field: {table.file}, {lacking.place.words} has no column '{field}'",
            hint=f"Columns: {', '.join(lacking.fields)}.",
        )
    return [row.fields[field] for row in table.rows]


def _with_prompts(table: Table, column: str, prompts: Sequence[Any]) -> Table:
    def replaced(fields: Mapping[str, Any], prompt: Any) -> dict[str, Any]:
        return {**fields, column: prompt}

    rows = zip(table.rows, prompts, strict=True)
    return table._replace(rows=[r._replace(fields=replaced(r.fields, p)) for r, p in rows])


def _after(before: Sequence[int], example: Example, codec: Codec) -> Example:
    """The example with words between BOS and prompt."""
    start = len(codec.bos) if list(example.prompt_ids[: len(codec.bos)]) == codec.bos else 0
    ids = example.prompt_ids
    prompt = (*ids[:start], *before, *ids[start:])
    room = max(codec.max_length - len(prompt), 1)
    return example._replace(prompt_ids=prompt, response_ids=example.response_ids[:room])
