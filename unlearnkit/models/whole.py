"""Loads models and adapters, and refuses missing weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import BaseModel, explain_missing, reading
from unlearnkit.models.headers import refuse_integers, refuse_ranks

logger = logging.getLogger(__name__)
ADAPTER_FILE = "adapter_model.safetensors"
_SHOWN = 5
_READ = (OSError, ValueError, RuntimeError, SafetensorError)
"""What broken files make a model raise that is built without memory."""


def load_whole(
    auto: Any, base: BaseModel, *, unread: tuple[str, ...] = (), cut: bool = False, **arguments: Any
) -> Any:
    """A model by ``from_pretrained``, with every weight from its files.

    Warns of weights in the files that the model does not have.

    Args:
        auto: A class of transformers with ``from_pretrained``.
        base: Where the model is.
        unread: Beginnings of names of weights whose output nobody reads, which may be missing.
        cut: The files are known to hold more than the model.
        **arguments: Of ``from_pretrained``.

    Raises:
        RecipeError: If there is no such model, a file cannot be read, or weights are missing or of
            another shape, with their names.
    """
    try:
        with _without_report():
            model, info = auto.from_pretrained(
                base.path, output_loading_info=True, ignore_mismatched_sizes=True, **arguments
            )
    except Exception as error:
        if "device_map" in arguments and not isinstance(error, _READ):
            raise  # Without memory not all models can be built; it is told when they are loaded.
        raise explain_missing(base, error) from error
    missing = [name for name in sorted(info["missing_keys"]) if not name.startswith(unread)]
    other = [
        f"{name} ({list(stored)} in place of {list(expected)})"
        for name, stored, expected in sorted(info["mismatched_keys"])
    ]
    _refuse_gaps(f"model.base: {base.path}", type(model).__name__, missing, other)
    if info["unexpected_keys"] and not cut:
        _tell_unread(base.path, type(model).__name__, info["unexpected_keys"])
    return model


def load_adapter(base: PreTrainedModel | PeftModel, folder: Path, name: str) -> PeftModel:
    """A model with an adapter from its folder, every weight of which is in the file.

    Args:
        base: The model, or a PEFT model that gets one more adapter.
        folder: The adapter's.
        name: The adapter's name in the model.

    Raises:
        RecipeError: If the file is missing or cannot be read, or weights are missing or of another
            shape.
    """
    file = folder / ADAPTER_FILE
    try:
        with safe_open(file, framework="pt") as opened:
            stored = set(opened.keys())
            refuse_integers(file, opened)
            refuse_ranks(file, opened)
        if isinstance(base, PeftModel):
            model = base
            model.load_adapter(str(folder), adapter_name=name)
        else:
            model = PeftModel.from_pretrained(base, str(folder), adapter_name=name)
    except Exception as error:  # PEFT passes on what its config makes other libraries raise.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        if isinstance(error, UserError):
            raise
        raise RecipeError(
            f"model.base: the adapter in {folder} cannot be loaded ({'; '.join(lines[:2])})",
            hint=f"An adapter is a folder with adapter_config.json and {ADAPTER_FILE}, and fits "
            "one base model.",
        ) from error
    expected = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    what = f"the adapter on {type(model.get_base_model()).__name__}"
    _refuse_gaps(f"model.base: {file}", what, sorted(expected.keys() - stored), [])
    # PEFT may keep embeddings beside the adapter; they are the base's own names.
    if unread := stored - expected.keys() - model.state_dict().keys():
        _tell_unread(str(file), what, unread)
    return model


def refuse_adapter_gaps(config: PreTrainedConfig, adapter: PeftConfig, folder: Path) -> None:
    """Refuses an adapter's file that lacks weights, without loading any.

    Args:
        config: The base's; of a model that brings its own code nothing is known.
        adapter: The adapter's.
        folder: The adapter's.

    Raises:
        RecipeError: With the weights' names.
    """
    try:
        with torch.device("meta"):
            model = get_peft_model(AutoModelForCausalLM.from_config(config), copy(adapter))
    except Exception:  # It says more when it is loaded.
        return
    expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    with (
        reading(BaseModel(str(folder)), "adapter"),
        safe_open(folder / ADAPTER_FILE, framework="pt") as opened,
    ):
        missing = sorted(expected.keys() - set(opened.keys()))
    _refuse_gaps(f"{folder / ADAPTER_FILE}", "the adapter", missing, [])


def _refuse_gaps(place: str, what: str, missing: list[str], other: list[str]) -> None:
    lines: list[str] = []
    if missing:
        lines.append(
            f"{place} lacks {_count(missing)} of {what}, which would be filled at random: "
            f"{_some(missing)}"
        )
    if other:
        lines.append(f"{place} has {_count(other)} of another shape: {_some(other)}")
    if lines:
        hint = "Give the folder as it was saved, with all of its safetensors files."
        raise RecipeError("\n".join(lines), hint=hint)


def _tell_unread(place: str, what: str, names: Iterable[str]) -> None:
    found = sorted(names)
    logger.warning("%s has %s that %s does not read: %s", place, _count(found), what, _some(found))


def _count(names: list[str]) -> str:
    return f"{len(names)} weight{'' if len(names) == 1 else 's'}"


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


@contextmanager
def _without_report() -> Iterator[None]:
    """Silences transformers' table of missing and unused weights."""

    def other(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    theirs = logging.getLogger("transformers.modeling_utils")
    theirs.addFilter(other)
    try:
        yield
    finally:
        theirs.removeFilter(other)
