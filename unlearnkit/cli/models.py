"""Models that a command line names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearnkit.models.base import BaseModel


def model_of(name: str) -> str:
    """The model of a finished run; any other name as it is.

    Raises:
        UserError: If the run did not finish.
    """
    from unlearnkit.runs import load_run

    folder = Path(name)
    return str(load_run(folder).model) if (folder / "recipe.yaml").is_file() else name


def rival_of(run: str, against: str) -> str | BaseModel:
    """What ``--against`` names: ``base`` is the model that a run started from.

    Raises:
        UserError: If there is no such run.
    """
    from unlearnkit.models.base import BaseModel
    from unlearnkit.runs import load_run

    return BaseModel.from_recipe(load_run(run).base) if against == "base" else model_of(against)
