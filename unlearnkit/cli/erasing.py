"""``unlearnkit edit erase`` and ``delete``: rows are read as those of a stream ``qa``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.cli.imports import without_collection
from unlearnkit.errors import RecipeError, UserError

if TYPE_CHECKING:
    from unlearnkit.data.example import Example

Columns = tuple[str, str, str]
"""Columns of prompt and response, and the template."""


def make(base: str, examples: str, columns: Columns, out: str, **options: Any) -> Path:
    """Makes the model; see `unlearnkit.cli.editing.erase`."""
    with without_collection():
        from unlearnkit.cli.noise import quieten

        quieten()
        from unlearnkit.edits import erase_model

    return erase_model(base, read_rows(base, examples, columns), out, **options)


def take_out(model: str, forget: str, columns: Columns, out: str) -> str:
    """Makes the model without the rows, and says what that took."""
    with without_collection():
        from unlearnkit.cli.noise import quieten

        quieten()
        from unlearnkit.edits import delete_examples

    done = delete_examples(model, read_rows(model, forget, columns), out)
    anew = sum(each.refitted for each in done)
    return (
        f"{len(done)} rows deleted, {anew} of them with clusters fitted anew; "
        f"{model} still has them"
    )


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
