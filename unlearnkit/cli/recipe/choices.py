"""The section ``choices:`` of a recipe: named blocks laid over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from unlearnkit.cli.recipe.document import (
    COMMAND_LINE,
    MERGED,
    Document,
    Mistake,
    load_yaml,
    refusal,
)
from unlearnkit.errors import RecipeError
from unlearnkit.families import KeyPath, path_of
from unlearnkit.plain import told
from unlearnkit.registry import did_you_mean

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.overrides import Override

SECTION = "choices"
SECTIONS = (
    "model", "data", "trainer", "generation", "evaluate", "gold", "attack", "goals", "phases",
    "requests", "tune", "seed_everything", "run_dir", SECTION,
)  # fmt: skip
"""Everything that a recipe may have at its top, but for the names of its own choices."""


def lay_choices(
    document: Document, overrides: Sequence[Override]
) -> tuple[list[tuple[KeyPath, Any]], list[Override]]:
    """Lays the chosen blocks over a recipe.

    A recipe names its choices and the blocks of each, the first of which is taken unless the
    command line names another:

        choices:
          size:
            1b: {model: {base: some/model-1b}}
            3b: {model: {base: some/model-3b}, model.optimizer.lr: 5.0e-6}

    ``--size 3b`` then takes the second. A block's sections are laid over the recipe as those of a
    second recipe are; a key with dots sets that value alone. A block may have ``choices`` of its
    own, whose blocks follow it; there a choice that was made before keeps its name, and has no
    block where none bears it.

    Args:
        document: The recipe; its section is taken out, and what was chosen written down.
        overrides: Those of the command line.

    Returns:
        Values for single keys, by path, and the overrides that name no choice.

    Raises:
        RecipeError: For a section that is not of this form.
    """
    section = document.tree.pop(SECTION, None)
    if section is None:
        return [], list(overrides)
    given = {str(each.path[0]): each.value for each in overrides if len(each.path) == 1}
    values: list[tuple[KeyPath, Any]] = []
    waiting: list[tuple[KeyPath, Any]] = [((SECTION,), section)]
    while waiting:
        place, found = waiting.pop(0)
        for name, blocks in _mapping(document, place, found).items():
            block = _chosen(document, (*place, name), name, blocks, given)
            if block is None:
                continue
            chosen = (*place, name, document.choices[name][0])
            for key, value in _mapping(document, chosen, block).items():
                if key == SECTION:
                    waiting.append(((*chosen, key), value))
                elif "." in key:
                    values.append((path_of(key), value))
                    _moved(document, (*chosen, key), path_of(key))
                else:
                    _lay(document, key, value)
                    _moved(document, (*chosen, key), (key,))
    return values, [
        each for each in overrides if len(each.path) != 1 or each.path[0] not in document.choices
    ]


def refuse_unknown_blocks(document: Document) -> None:
    """Refuses a block that a choice does not have.

    It is laid over nothing, so that the recipe lacks what any block would have given it, and
    overrides may name what only the block that was meant has.

    Raises:
        RecipeError: With these mistakes and those of the text, and no others.
    """
    if all(taken in names for taken, names in document.choices.values()):
        return
    told = [
        each
        for each in document.mistakes
        if each.place != COMMAND_LINE or each.path[0] in document.choices
    ]
    raise refusal(document.name, told)


def _chosen(
    document: Document, place: KeyPath, name: str, blocks: Any, given: Mapping[str, Any]
) -> Any:
    """The block that is taken of a choice; None for no block."""
    if name in SECTIONS:
        raise RecipeError(
            f"{document.place(place)}: choices.{name}: a recipe has a section of that name, which "
            f"--{name} sets.",
            hint="Give the choice another name.",
        )
    names = [*_mapping(document, place, blocks)]
    if not names:
        raise RecipeError(f"{document.place(place)}: choices.{name}: it has no block.")
    before = document.choices.get(name)
    taken = before[0] if before else names[0]
    chosen = _block(given[name], names) if name in given else taken
    if before is None:
        document.choices[name] = (chosen, names)
        if chosen not in names:
            asked = given[name]
            near = did_you_mean(asked, names) if isinstance(asked, str) else ""
            document.mistakes.append(
                Mistake(
                    (name,),
                    f"there is no {told(asked)}.{near} It has: {', '.join(names)}.",
                    COMMAND_LINE,
                )
            )
    return blocks.get(chosen)


def _block(value: Any, names: Sequence[str]) -> str:
    """The block that a value of the command line names: ``off`` was read as false there."""
    if str(value) in names or isinstance(value, str):
        return str(value)
    return next((each for each in names if told(_read(each)) == told(value)), str(value))


def _read(name: str) -> Any:
    try:
        return load_yaml(name)
    except (yaml.YAMLError, ValueError):
        return name


def _mapping(document: Document, place: KeyPath, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise RecipeError(
        f"{document.place(place)}: {'.'.join(map(str, place))}: expected a mapping, "
        f"found {told(value)}.",
        hint="Write choices: {NAME: {ONE: {model: {...}}, OTHER: {model: {...}}}}.",
    )


def _lay(document: Document, section: str, value: Any) -> None:
    merged = document.tree.get(section)
    if section in MERGED and isinstance(merged, dict) and isinstance(value, dict):
        document.tree[section] = merged | value
    else:
        document.tree[section] = value


def _moved(document: Document, source: KeyPath, target: KeyPath) -> None:
    """Tells where the keys of a block stand, under the paths that they now have."""
    for path in list(_below(document, source)):
        document.places[(*target, *path[len(source) :])] = document.places[path]


def _below(document: Document, above: KeyPath) -> Iterator[KeyPath]:
    return (each for each in document.places if each[: len(above)] == above)
