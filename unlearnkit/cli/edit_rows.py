"""Rows that an edit is given, read as those of a stream ``qa``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unlearnkit.errors import RecipeError, UserError

if TYPE_CHECKING:
    from unlearnkit.data.example import Example

Columns = tuple[str, str, str]
"""Columns of prompt and response, and the template."""


def read_rows(tokenizer: str, path: str, columns: Columns) -> list[Example]:
    """Rows of a file in a model's tokens.

    Raises:
        UserError: If there is no model there, with all bad rows otherwise.
    """
    from unlearnkit import UnlearningDataModule
    from unlearnkit.data import QAStream

    prompt, response, template = columns
    try:
        stream = QAStream(path, prompt, response, template)
        data = UnlearningDataModule({"examples": stream}, tokenizer=tokenizer, anchor="examples")
        data.check()
    except RecipeError as error:
        message = error.message.removeprefix("model.base: ")
        raise UserError(message, title="edit", hint=error.hint) from error
    found = data.data["examples"]
    return [each for row in range(len(found)) for each in found.at(row, row)]
