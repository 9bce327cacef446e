"""Freezes all but the weights that are trained."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig

from unlearnkit.errors import RecipeError


def matching(patterns: str | Sequence[str], names: Iterable[str]) -> set[str]:
    r"""The parameters that patterns name, each by its own name or by that of a module it is in.

    Args:
        patterns: A regular expression that matches a name from end to end, or a list of names,
            which may be parts of longer ones (``mlp.down_proj``), cut at the dots.
        names: Parameters.

    Raises:
        RecipeError: For each pattern that names nothing, with the nearest names.

    Example:
        >>> names = ["layers.1.mlp.weight", "layers.10.mlp.weight", "norm.weight"]
        >>> sorted(matching(["layers.1"], names))
        ['layers.1.mlp.weight']
        >>> sorted(matching(r"layers\.\d+\.mlp", names))
        ['layers.1.mlp.weight', 'layers.10.mlp.weight']
    """
    known = list(names)
    found: set[str] = set()
    missing: list[str] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if isinstance(patterns, str):
            hits = {n for n in known if any(map(_compiled(pattern).fullmatch, _modules(n)))}
        else:
            hits = {n for n in known if f".{pattern}." in f".{n}."}
        found |= hits
        if not hits:
            missing.append(f"'{pattern}' names no weight of the model.{_nearest(pattern, known)}")
    if missing or not found:
        raise RecipeError("model.trainable: " + ("\n".join(missing) or "the list is empty"))
    return found


def restrict(model: nn.Module, patterns: str | Sequence[str] | None) -> None:
    """Freezes every weight of a model that the patterns do not name; None changes nothing.

    A weight that is used in two places is trained if either of its names is given.

    Raises:
        RecipeError: For each pattern that names nothing.
    """
    if patterns is None:
        return
    named = list(model.named_parameters(remove_duplicate=False))
    chosen = matching(patterns, [name for name, _ in named])
    kept = {id(parameter) for name, parameter in named if name in chosen}
    for _, parameter in named:
        parameter.requires_grad_(parameter.requires_grad and id(parameter) in kept)


def refuse_unknown_names(config: PreTrainedConfig, patterns: str | Sequence[str]) -> None:
    """Refuses names that the model does not have; no weights are read.

    Args:
        config: The model's.
        patterns: As `matching` takes them.

    Raises:
        RecipeError: For each pattern that names nothing.
    """
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except ValueError:  # code that the model brings along; its names are known once it is loaded
        return
    matching(patterns, [name for name, _ in model.named_parameters(remove_duplicate=False)])


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise RecipeError(
            f"model.trainable: '{pattern}' is no regular expression: {error}"
        ) from None


def _modules(name: str) -> Iterator[str]:
    """The name, and those of the modules around it."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _nearest(pattern: str, names: Sequence[str]) -> str:
    """Three names that look most like the pattern, of whole weights and of their ends."""
    plain = pattern.replace("\\", "")
    parts = {part for name in names for part in _modules(name)}
    ends = {name.split(".", at)[-1] for name in parts for at in range(name.count(".") + 1)}
    near = difflib.get_close_matches(plain, sorted(ends), n=3, cutoff=0.5)
    return (
        f" The nearest are {', '.join(near)}." if near else f" It has {', '.join(names[:3])}, ..."
    )
