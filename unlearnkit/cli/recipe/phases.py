"""Expands ``phases:`` and ``requests:`` into one recipe per phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from unlearnkit.cli.recipe.check import find_mistakes
from unlearnkit.cli.recipe.document import COMMAND_LINE, MERGED, Document, Mistake, refusal
from unlearnkit.cli.recipe.edit import edit_mistakes
from unlearnkit.cli.recipe.names import dotted
from unlearnkit.cli.recipe.overrides import Override, apply
from unlearnkit.cli.recipe.phase import PHASES, REQUESTS, Layer, copied, covers, fault_of_name
from unlearnkit.cli.recipe.requests import of_requests
from unlearnkit.families import KeyPath, at
from unlearnkit.plain import told
from unlearnkit.registry import did_you_mean

BASE: KeyPath = ("model", "base")
_SECTIONS = (*MERGED, "evaluate", "gold", "seed_everything")


def has_phases(tree: Mapping[str, Any]) -> bool:
    """Whether a recipe is one of several phases."""
    return PHASES in tree or REQUESTS in tree


def layers(document: Document, overrides: Sequence[Override]) -> tuple[list[Layer], list[str]]:
    """The phases of a recipe, checked, with the overrides in them.

    Args:
        document: A recipe with ``phases`` or ``requests``; the overrides of its common blocks
            are in it.
        overrides: Those that name a phase, as ``phases.<index or name>.<key>``.

    Returns:
        The phases in their order, and warnings.

    Raises:
        RecipeError: With every mistake of all phases.
    """
    mistakes = list(document.mistakes)
    if PHASES in document.tree and REQUESTS in document.tree:
        message = "a recipe has phases or requests; each request is a phase already."
        mistakes.append(Mistake((REQUESTS,), message, document.place((REQUESTS,))))
        raise refusal(document.name, mistakes)
    make = _of_phases if PHASES in document.tree else of_requests
    found: list[Layer] = []
    for each in make(document):
        if isinstance(each, Mistake):
            mistakes.append(each)
        else:
            found.append(each)
    mistakes += _apply(found, overrides)
    warnings: list[str] = []
    for layer in found:
        if layer.edit is None:
            wrong, remarks = find_mistakes(layer.document)
            mistakes += map(layer.written, wrong)
            warnings += [text for text in remarks if text not in warnings]
        else:
            mistakes += edit_mistakes(layer)
    unread, remarks = _unread(document, found)
    mistakes += unread
    warnings += remarks
    if mistakes:
        raise refusal(document.name, mistakes)
    return found, warnings


def _of_phases(document: Document) -> Iterator[Layer | Mistake]:
    given = document.tree[PHASES]
    common = {key: value for key, value in document.tree.items() if key != PHASES}

    def wrong(path: KeyPath, message: str) -> Mistake:
        return Mistake(path, message, document.place(path))

    if not isinstance(given, list) or not given:
        yield wrong((PHASES,), f"expected a list of phases, found {told(given)}")
        return
    names: list[str] = []
    start: Any = at(common, BASE)
    for index, block in enumerate(given):
        path: KeyPath = (PHASES, index)
        if not isinstance(block, Mapping):
            yield wrong(
                path, f"expected a mapping with model, data or trainer, found {told(block)}"
            )
            continue
        name = block.get("name", f"phase-{index}")
        if (fault := fault_of_name(name, names)) is not None:
            yield wrong((*path, "name"), fault)
        names.append(str(name))
        known = ["name", "edit", *_SECTIONS]
        for key in block:
            if key not in known:
                near = did_you_mean(str(key), known)
                has = near or f" It has: {', '.join(known)}."
                yield wrong((*path, key), f"a phase has no section '{key}'.{has}")
        if "edit" in block:
            if not index:
                yield wrong(
                    (*path, "edit"), "the first phase trains: an edit needs what it learned."
                )
            others = [key for key in block if key not in ("name", "edit")]
            if others:
                message = "a phase that edits weights trains nothing; put this in another phase."
                yield wrong((*path, others[0]), message)
            recipe = Document(common, document.name, document.places, choices=document.choices)
            yield Layer(str(name), path, recipe, edit=block["edit"])
            continue
        if index and at(block, BASE) is not None:
            message = "a phase starts from the model of the one before; give base at the top."
            yield wrong((*path, *BASE), message)
        elif at(block, BASE) is not None:
            start = at(block, BASE)
        sections = {key: block[key] for key in _SECTIONS if key in block}
        layer = _laid_over(document, common, sections, path, str(name))
        if start is not None and isinstance(layer.document.tree.get("model"), dict):
            layer.document.tree["model"]["base"] = start
        yield layer


def _laid_over(
    document: Document,
    common: Mapping[str, Any],
    block: Mapping[str, Any],
    path: KeyPath,
    name: str,
) -> Layer:
    """A block laid over the common ones as a later recipe would be."""
    tree = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in common.items()
    }
    own: set[KeyPath] = set()
    for section, value in block.items():
        under = tree.get(section)
        if section in MERGED and isinstance(value, Mapping) and isinstance(under, dict):
            under.update(value)
            own |= {(section, key) for key in value}
        else:
            tree[section] = dict(value) if isinstance(value, Mapping) else value
            own.add((section,))
    places = {
        key: each
        for key, each in document.places.items()
        if key[0] != PHASES and not any(covers(mine, key) for mine in own)
    }
    depth = len(path)
    places |= {k[depth:]: each for k, each in document.places.items() if k[:depth] == path}
    found = Document(copied(tree), document.name, places, choices=document.choices)
    return Layer(name, path, found, own)


def _apply(found: Sequence[Layer], overrides: Sequence[Override]) -> Iterator[Mistake]:
    """Puts the overrides that name a phase into it."""
    names = [layer.name for layer in found]
    for override in overrides:
        step, path = override.path[1], override.path[2:]
        layer = None
        if isinstance(step, int) and step < len(found):
            layer = found[step]
        elif step in names:
            layer = found[names.index(str(step))]
        if layer is None or not path:
            has = f"It has phases 0 to {len(found) - 1}: {', '.join(names)}."
            example = "--phases.0.model.optimizer.lr 1e-5"
            message = f"no phase '{step}' in this recipe. {has} One value is given as {example}"
        elif layer.edit is not None:
            message = "this phase edits weights; change the recipe's file."
        elif path == BASE and layer is not found[0]:
            message = "a phase starts from the model of the one before; give --model.base."
        else:
            apply(layer.document, [override._replace(path=path)])
            layer.own.add(path)
            yield from map(layer.written, layer.document.mistakes)
            layer.document.mistakes.clear()
            continue
        yield Mistake(override.path, message, COMMAND_LINE)


def _unread(document: Document, found: Sequence[Layer]) -> tuple[list[Mistake], list[str]]:
    """Overrides of the common blocks that no phase would see, and a remark on those few do."""
    trained = [layer for layer in found if layer.edit is None]
    mistakes: list[Mistake] = []
    remarks: list[str] = []
    for path, place in document.places.items():
        if place != COMMAND_LINE or path[0] in (PHASES, REQUESTS):
            continue
        hidden = [layer for layer in trained if any(covers(own, path) for own in layer.own)]
        if not hidden:
            continue
        key, names = dotted(path), ", ".join(layer.name for layer in hidden)
        instead = f"--phases.{hidden[0].name}.{key}"
        if hidden[0].path[0] == REQUESTS:
            instead = "--requests"
        if len(hidden) == len(trained):
            message = f"every phase has a value of its own; give {instead}."
            mistakes.append(Mistake(path, message, COMMAND_LINE))
        else:
            remarks.append(f"--{key} is not for {names}, which has its own; give {instead} too")
    return mistakes, remarks
