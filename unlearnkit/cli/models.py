"""Models that a command line names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.models.base import BaseModel


def model_of(name: str) -> str:
    """The model of a finished run; any other name as it is.

    Raises:
        UserError: If the run did not finish.
    """
    from unlearnkit.runs import load_run

    folder = Path(name)
    return str(load_run(folder).model) if (folder / "recipe.yaml").is_file() else name


def recipe_of_run(run: str | Path, verb: str) -> RecipeCLI:
    """The objects of a finished run's recipe; files are looked up in its folder too.

    Warns of values that were masked, which are not those that the run had.

    Raises:
        UserError: If the run did not finish, or its recipe is broken.
    """
    from unlearnkit.cli import console
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.cli.recipe.document import read
    from unlearnkit.data.rows.reader import search_folders
    from unlearnkit.runs import load_run
    from unlearnkit.runs.phases.yaml_text import MASKED

    loaded = load_run(run)
    search_folders.set((loaded.folder,))
    cli = RecipeCLI(read([loaded.recipe_file]), verb=verb)
    for warning in cli.warnings:
        if MASKED in warning:
            console.warn(warning)
    return cli


def rival_of(run: str, against: str) -> str | BaseModel:
    """What ``--against`` names: ``base`` is the model that a run started from.

    Raises:
        UserError: If there is no such run.
    """
    from unlearnkit.models.base import BaseModel
    from unlearnkit.runs import load_run

    return BaseModel.from_recipe(load_run(run).base) if against == "base" else model_of(against)


def side_by_side(run: str, against: str | None) -> list[tuple[str, str | BaseModel]]:
    """A run's model by its name, and before it the one that it is held against.

    Raises:
        UserError: If there is no such run.
    """
    models: list[tuple[str, str | BaseModel]] = [(run, model_of(run))]
    return models if against is None else [(against, rival_of(run, against)), *models]
