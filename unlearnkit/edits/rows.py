"""Reads the rows of an edit as a stream ``qa``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unlearnkit.data import QAStream
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.example import Example
from unlearnkit.edits.base import as_edit
from unlearnkit.models.base import BaseModel


class Columns(NamedTuple):
    """Where prompt and response of a row are, and the text around the prompt."""

    prompt: str
    response: str
    template: str


def read_rows(
    tokenizer: str | BaseModel, rows: str | Sequence[Example], columns: Columns
) -> list[Example]:
    """Rows of a file in a model's tokens; rows in memory as they are.

    Raises:
        UserError: If there is no model there, with all bad rows otherwise.
    """
    if not isinstance(rows, str):
        return list(rows)
    with as_edit():
        stream = QAStream(rows, *columns)
        data = UnlearningDataModule({"examples": stream}, tokenizer=tokenizer, anchor="examples")
        data.check()
    found = data.data["examples"]
    return list(found.examples())
