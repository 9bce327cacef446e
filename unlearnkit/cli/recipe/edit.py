"""The section ``edit:`` of a phase."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unlearnkit.cli.recipe.document import Mistake
from unlearnkit.cli.recipe.phase import Layer
from unlearnkit.cli.recipe.signature import check_arguments
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel
from unlearnkit.runs.phases.edit import OPTIONS, Edit
from unlearnkit.runs.phases.phase import Base


def edit_mistakes(layer: Layer) -> Iterator[Mistake]:
    """What is wrong with the edit of a phase."""
    path = (*layer.path, "edit")
    found = list(check_arguments(Edit, layer.edit, path, skip=["phase"]))
    try:
        if not found:
            edit_phase(layer, "tiny")
    except RecipeError as error:
        found = [(path, error.message)]
    for key, message in found:
        yield Mistake(key, message, layer.document.place(key))


def edit_phase(layer: Layer, original: Base) -> Edit:
    """The edit of a phase; its base is the model that the run starts from, unless it gives one."""
    arguments: dict[str, Any] = dict(layer.edit or {})
    if "base" in OPTIONS.get(arguments.get("name", ""), ()):
        arguments.setdefault("base", original)
    if isinstance(arguments.get("base"), dict):
        arguments["base"] = BaseModel.from_recipe(arguments["base"])
    return Edit(layer.name, **arguments)
