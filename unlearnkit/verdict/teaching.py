"""Reads what a recipe trains for, and whether it only teaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LIKELIHOODS = {"nll": "forget", "retain_nll": "retain"}
"""Objectives that raise the likelihood of a stream, each with the stream that it reads unasked."""
_OTHER_ANSWERS = ("alternate", "idk", "mismatch")
"""Streams whose answers are not those of their prompts."""


def teaches(recipe: Mapping[str, Any]) -> bool:
    """Whether all objectives of a recipe raise the likelihood of rows and their own answers.

    Args:
        recipe: As a run folder holds it, with or without phases; of phases, all have to teach.

    Example:
        >>> teaches({"model": {"objectives": {"forget": {"name": "nll", "weight": 1.0}}}})
        True
        >>> teaches({"model": {"objectives": {"forget": {"name": "npo"}}}})
        False
    """
    if phases := _phases(recipe):
        return all(map(teaches, phases))
    if recipe.get("edit"):
        return False
    active, streams = _active(recipe), _below(recipe, "data", "streams")
    return bool(active) and all(_raises(key, entry, streams) for key, entry in active.items())


def objectives_of(recipe: Mapping[str, Any]) -> frozenset[str]:
    """Names of the objectives that a recipe trains with, those of all its phases.

    Args:
        recipe: As a run folder holds it, with or without phases.

    Example:
        >>> objectives_of({"model": {"objectives": {"forget": {"name": "npo"}}}})
        frozenset({'npo'})
    """
    if phases := _phases(recipe):
        return frozenset[str]().union(*map(objectives_of, phases))
    return frozenset(str(entry.get("name", key)) for key, entry in _active(recipe).items())


def _phases(recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    phases = recipe.get("phases")
    if not isinstance(phases, list):
        return []
    common = {key: value for key, value in recipe.items() if key != "phases"}
    return [{**common, **each} if isinstance(each, Mapping) else {} for each in phases]


def _active(recipe: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {
        key: entry if isinstance(entry, Mapping) else {}
        for key, entry in _below(recipe, "model", "objectives").items()
        if not (isinstance(entry, Mapping) and entry.get("weight") == 0)
    }


def _raises(key: str, entry: Mapping[str, Any], streams: Mapping[str, Any]) -> bool:
    name = entry.get("name", key)
    if name not in _LIKELIHOODS:
        return False
    read = entry.get("stream") or _LIKELIHOODS[name]
    stream = streams.get(read)
    kind = stream.get("name", read) if isinstance(stream, Mapping) else read
    return kind not in _OTHER_ANSWERS


def _below(tree: Any, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree if isinstance(tree, Mapping) else {}
