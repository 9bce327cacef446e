"""Tells whether a recipe only teaches."""

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
    phases = recipe.get("phases")
    if isinstance(phases, list) and phases:
        common = {key: value for key, value in recipe.items() if key != "phases"}
        return all(isinstance(each, Mapping) and teaches({**common, **each}) for each in phases)
    if recipe.get("edit"):
        return False
    objectives, streams = _below(recipe, "model", "objectives"), _below(recipe, "data", "streams")
    active = {
        key: entry if isinstance(entry, Mapping) else {}
        for key, entry in objectives.items()
        if not (isinstance(entry, Mapping) and entry.get("weight") == 0)
    }
    return bool(active) and all(_raises(key, entry, streams) for key, entry in active.items())


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
