"""``unlearnkit edit o3``: the prompts that detectors are fitted on are those of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlearnkit.cli.imports import without_collection
from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.document import read
from unlearnkit.data.rows.reader import search_folders
from unlearnkit.errors import UserError
from unlearnkit.runs import load_run


def gate_model(base: str, adapters: Sequence[str], out: str, **options: Any) -> Path:
    """Makes the model; see `unlearnkit.cli.verbs.edit.o3`.

    Raises:
        UserError: If a run did not finish, or has no forget stream.
    """
    with without_collection():
        from unlearnkit.cli.quiet import quieten

        quieten()
        from unlearnkit.edits import o3_model

    runs = [load_run(each) for each in adapters]
    prompts = [_prompts(run) for run in runs]
    return o3_model(base, [run.model for run in runs], prompts, out, **options)


def _prompts(run: Any) -> list[tuple[int, ...]]:
    """Prompts of a run's forget rows."""
    search_folders.set((run.folder,))
    data = RecipeCLI(read([run.recipe_file]), verb="edit").datamodule
    data.check()
    if "forget" not in data.data:
        raise UserError(f"the recipe of {run.folder} has no stream 'forget' to know its prompts by")
    stream = data.data["forget"]
    return [each.prompt_ids for row in range(len(stream)) for each in stream.at(row, row)]
