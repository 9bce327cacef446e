"""Shipped methods laid over a recipe, with their default ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearnkit.cli.recipe.choices import SECTION
from unlearnkit.cli.recipe.document import Document, read
from unlearnkit.cli.recipe.overrides import Override
from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.errors import RecipeError
from unlearnkit.registry import did_you_mean

_FOLDER = "methods/"
# What a recipe of one's own decides, whatever the method is.
_KEPT = frozenset({"base", "optimizer", "schedule", "warmup", "compile"})
_WEIGHT = {"log": [0.1, 10.0]}


def method_overrides(method: str, document: Document) -> list[Override]:
    """A method's objectives and settings, in place of the recipe's.

    Args:
        method: Name of a shipped recipe of ``methods/``.
        document: The recipe, whose rows, model, optimizer and trainer stay.

    Returns:
        Values for its keys; where the recipe has a choice ``method`` of that name, the choice. A
        stream that the recipe lacks is the method's own where it reads no
        file, such as ``mismatch``.

    Raises:
        RecipeError: For an unknown method, or one that reads rows which the recipe does not have.
    """
    own = _section(_section(document.tree, SECTION), "method")
    if method in own:
        return [Override(("method",), method)]
    tree = read([_file(method)]).tree
    made = [
        Override(("model", key), value) for key, value in tree["model"].items() if key not in _KEPT
    ]
    given = _section(_section(document.tree, "data"), "streams")
    lacks = {
        name: stream
        for name, stream in _section(tree["data"], "streams").items()
        if name not in given
    }
    files = [name for name, stream in lacks.items() if "path" in stream]
    if files:
        raise RecipeError(
            f"--method {method}: it reads the stream {', '.join(files)}, and {document.name} has "
            f"{', '.join(map(str, given)) or 'no stream'}.",
            hint=f"Add the stream to data.streams; methods/{method} shows its form.",
        )
    return made + [Override(("data", "streams", name), stream) for name, stream in lacks.items()]


def default_space(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Ranges for a recipe's objectives, learning rate and length, as `parse_space` reads them.

    The first objective keeps its weight: a common factor of all weights changes little.

    Args:
        tree: The recipe, methods laid over it. Ranges of its section ``tune`` that are of no
            objective stand in place of the defaults.

    Example:
        >>> objectives = {"forget": {"name": "npo"}, "retain": {"name": "retain_nll"}}
        >>> model = {"objectives": objectives, "optimizer": {"name": "AdamW", "lr": 1e-4}}
        >>> for key, each in default_space({"model": model}).items():
        ...     print(key, each)
        model.optimizer.lr {'log': [1e-05, 0.001]}
        model.objectives.forget.beta {'log': [0.02, 0.5]}
        model.objectives.retain.weight {'log': [0.1, 10.0]}
    """
    # It imports torch, and every verb is imported for the list of verbs.
    from unlearnkit.objectives.base import Objective

    model, trainer = _section(tree, "model"), _section(tree, "trainer")
    found = {
        key: value
        for key, value in _section(_section(tree, "tune"), "search").items()
        if not str(key).startswith("model.objectives.")
    }
    optimizer = _section(model, "optimizer")
    lr = _section(optimizer, "init_args").get("lr", optimizer.get("lr"))
    if lr is not None and "model.optimizer.lr" not in found:
        found["model.optimizer.lr"] = {"log": [float(f"{lr / 10:.3g}"), float(f"{lr * 10:.3g}")]}
    for key in ("max_steps", "max_epochs"):
        length = trainer.get(key)
        if length and length > 0 and not {"trainer.max_steps", "trainer.max_epochs"} & {*found}:
            found[f"trainer.{key}"] = {"int": [max(1, length // 3), 2 * length]}
    for index, (entry, given) in enumerate(_section(model, "objectives").items()):
        objective = given if isinstance(given, str) else given.get("name")
        if objective is None:
            continue
        ranges = {} if index == 0 else {"weight": _WEIGHT}
        for setting, values in (ranges | dict(Objective.named(objective).ranges)).items():
            found[f"model.objectives.{entry}.{setting}"] = values
    return found


def _file(method: str) -> Any:
    known = shipped()
    if _FOLDER + method in known:
        return known[_FOLDER + method]
    names = sorted(each[len(_FOLDER) :] for each in known if each.startswith(_FOLDER))
    raise RecipeError(
        f"--method: there is no method '{method}'.{did_you_mean(method, names)}",
        hint=f"Methods: {', '.join(names)}.",
    )


def _section(tree: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = tree.get(key)
    return dict(found) if isinstance(found, Mapping) else {}
