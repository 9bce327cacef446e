"""Builds the phases of a recipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.cli.banner import show_start
from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.choices import refuse_unknown_blocks
from unlearnkit.cli.recipe.document import MERGED, Document, load_yaml
from unlearnkit.cli.recipe.edit import edit_phase
from unlearnkit.cli.recipe.names import dotted
from unlearnkit.cli.recipe.overrides import Override, apply
from unlearnkit.cli.recipe.phase import PHASES, Layer, copied
from unlearnkit.cli.recipe.phases import BASE, has_phases, layers
from unlearnkit.cli.recipe.signature import find_own_modules
from unlearnkit.cli.recipe.tuning import take_tuning
from unlearnkit.errors import RecipeError
from unlearnkit.families import at, named
from unlearnkit.runs.phases.phase import Phase, Training
from unlearnkit.runs.phases.yaml_text import dump_yaml


class _Parsed(RecipeCLI):
    """A phase's recipe with its defaults, and no objects."""

    def instantiate_classes(self) -> None:
        """Builds nothing."""


class PhasedRecipe:
    """The phases of a recipe.

    Args:
        document: The recipe, with the overrides of its common blocks in it.
        overrides: Overrides that name a phase.
        verb: For messages.
        print_only: Print the recipe with every default filled in, phase by phase, and exit.

    Attributes:
        warnings: Things in the recipe that are allowed and probably not meant.
        choices: By the name of each choice, the block that was taken and the names of all.
        base: The model that the first phase starts from.
        run_dir: Folder of the run folders.
        attacks: The attacks that the run ends with.
        goals: Bounds of metrics by address.
        generation: What generates texts.
        recipe_text: The recipe with every default resolved; it can be run again.

    Raises:
        RecipeError: With every mistake of all phases.
    """

    def __init__(
        self,
        document: Document,
        overrides: Sequence[Override] = (),
        verb: str = "fit",
        print_only: bool = False,
    ) -> None:
        find_own_modules()
        self.choices = document.choices
        found, self.warnings = layers(document, overrides)
        kind = _Parsed if print_only else RecipeCLI
        self.clis: dict[str, RecipeCLI] = {
            layer.name: kind(layer.document, verb=verb) for layer in found if layer.edit is None
        }
        first = next(iter(self.clis.values()))
        self.run_dir: str = first.config.run_dir
        recipes = {name: load_yaml(cli.recipe_text) for name, cli in self.clis.items()}
        base = at(next(iter(recipes.values())), BASE)
        # The run as a whole is attacked and held to its goals, and none of its phases.
        last = list(self.clis.values())[-1]
        self.goals = last.config.goals
        self.recipe_text = _text(found, recipes, base)
        if print_only:
            sys.stdout.write(self.recipe_text)
            sys.exit(0)
        self.base = first.model.base
        self.attacks = last.attacks
        self.generation = last.generation
        self._found, self._recipes = found, {k: _of_phase(each) for k, each in recipes.items()}

    def phases(self, resume_with_changes: bool = False) -> list[Phase]:
        """The phases, to be run once: afterwards nothing here holds their models.

        Args:
            resume_with_changes: See `fit`.
        """
        made: list[Phase] = []
        for layer in self._found:
            if layer.edit is not None:
                made.append(edit_phase(layer, self.base))
                continue
            cli = self.clis.pop(layer.name)
            made.append(
                Training(
                    layer.name,
                    self._recipes[layer.name],
                    cli.model,
                    cli.datamodule,
                    cli.trainer,
                    evaluate=cli.suites,
                    gold=cli.config.gold,
                    seed=cli.config.seed_everything,
                    on_start=show_start,
                    resume_with_changes=resume_with_changes,
                    resolve=resolved,
                )
            )
        return made


def resolved(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A phase's recipe as this version writes it, whatever version wrote it.

    Arguments that its version did not have get their defaults.
    """
    if "edit" in recipe:
        return dict(recipe)
    try:
        found = load_yaml(_Parsed(Document(copied(recipe), "recipe.yaml")).recipe_text)
    except RecipeError:  # what no longer is a recipe differs from one
        return named(recipe)
    found["model"]["base"] = at(recipe, BASE)
    return _of_phase(found)


def _of_phase(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a phase has of a recipe."""
    return {key: value for key, value in recipe.items() if key not in ("attack", "goals")}


def recipe_of(
    document: Document | None, overrides: Sequence[Override], verb: str, print_only: bool
) -> RecipeCLI | PhasedRecipe:
    """The objects of a recipe, of one phase or of several; see `RecipeCLI` for the arguments."""
    find_own_modules()  # an override may name a class in one of them
    inside = [each for each in overrides if each.path[0] == PHASES and len(each.path) > 1]
    if document is None:
        return RecipeCLI(None, overrides, verb, print_only)
    apply(document, [each for each in overrides if each not in inside])
    refuse_unknown_blocks(document)
    if has_phases(document.tree):
        take_tuning(document)
        return PhasedRecipe(document, inside, verb, print_only)
    if inside:
        raise RecipeError(
            f"{dotted(inside[0].path)}: this recipe has no phases.",
            hint=f"Give --{dotted(inside[0].path[2:])} for the recipe itself.",
        )
    return RecipeCLI(document, (), verb, print_only)


def _text(found: Sequence[Layer], recipes: Mapping[str, dict[str, Any]], base: Any) -> str:
    """One recipe again: what all phases have in common at the top, the rest in each."""
    tree: dict[str, Any] = {"model": {"base": base}}
    own: dict[str, dict[str, Any]] = {name: {} for name in recipes}
    sections = list(dict.fromkeys(key for recipe in recipes.values() for key in recipe))
    for section in sections:
        given = [recipe.get(section) for recipe in recipes.values()]
        if section not in MERGED:
            if all(each == given[0] for each in given):
                tree[section] = given[0]
            else:
                for name, value in zip(own, given, strict=True):
                    own[name][section] = value
            continue
        for key in given[0] or {}:
            values = [(each or {}).get(key) for each in given]
            if (section, key) == BASE:
                continue
            if all(each == values[0] for each in values):
                tree.setdefault(section, {})[key] = values[0]
            else:
                for name, value in zip(own, values, strict=True):
                    own[name].setdefault(section, {})[key] = value
    tree[PHASES] = [
        {"name": layer.name, **own[layer.name]}
        if layer.edit is None
        else {"name": layer.name, "edit": dict(layer.edit)}
        for layer in found
    ]
    return dump_yaml(tree)
