"""``unlearnkit edit erase`` and ``delete``: rows are read as those of a stream ``qa``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearnkit.cli.edit_rows import Columns, read_rows
from unlearnkit.cli.imports import without_collection


def make(base: str, examples: str, columns: Columns, out: str, **options: Any) -> Path:
    """Makes the model; see `unlearnkit.cli.verbs.edit.erase`."""
    with without_collection():
        from unlearnkit.cli.quiet import quieten

        quieten()
        from unlearnkit.edits import erase_model

    return erase_model(base, read_rows(base, examples, columns), out, **options)


def take_out(model: str, forget: str, columns: Columns, out: str) -> str:
    """Makes the model without the rows, and says what that took."""
    with without_collection():
        from unlearnkit.cli.quiet import quieten

        quieten()
        from unlearnkit.edits import delete_examples

    done = delete_examples(model, read_rows(model, forget, columns), out)
    anew = sum(each.refitted for each in done)
    return (
        f"{len(done)} rows deleted, {anew} of them with clusters fitted anew; "
        f"{model} still has them"
    )
