"""Checks that a model's files hold all weights, without reading them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from peft import PeftConfig
from transformers import AutoModelForCausalLM

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import (
    BaseModel,
    as_base_model,
    from_pretrained_arguments,
    reading,
)
from unlearnkit.models.digests import refuse_changed
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.headers import refuse_impossible
from unlearnkit.models.load import adapter_base, composite_loader, load_config
from unlearnkit.models.whole import load_whole, refuse_adapter_gaps

logger = logging.getLogger(__name__)


def check_whole(base: str | BaseModel, key: str = "model.base") -> None:
    """Refuses a model whose files lack weights, without reading them.

    A composite model, one that is not in a folder and a GGUF file are checked when they are
    loaded.

    Args:
        base: The model.
        key: What the recipe or the command calls it.

    Raises:
        RecipeError: With the weights' names.
    """
    resolved = as_base_model(base)
    folder = Path(resolved.path)
    if resolved.offset is not None or resolved.gguf_file or not folder.is_dir():
        return
    with _named(key):
        refuse_changed(folder)
    if (folder / "adapter_config.json").is_file():
        below = adapter_base(resolved)
        check_whole(below, key)
        with reading(resolved, "adapter"):
            adapter = PeftConfig.from_pretrained(str(folder))
        refuse_adapter_gaps(load_config(below), adapter, folder)
        return
    if composite_loader(resolved):
        return
    with _named(key):
        refuse_impossible(load_config(resolved), resolved)
    given = from_pretrained_arguments(resolved)
    if resolved.first_blocks is not None:
        given["config"] = load_config(resolved)
    try:
        with _named(key):
            load_whole(
                AutoModelForCausalLM,
                resolved,
                cut=True,
                device_map="meta",
                use_safetensors=True,
                **given,
            )
    except RecipeError:
        raise
    except Exception as error:
        # A model that cannot be built without memory says more when it is loaded.
        logger.debug("%s was not looked at before loading: %s", resolved.path, error)


def hash_files(base: str | BaseModel, seen: frozenset[Path] = frozenset()) -> None:
    """Hashes what the checks of a model and of those below it ask for, so that it is known.

    Says nothing of what is wrong; the checks do.

    Args:
        base: The model.
        seen: Folders that stand on it, which may name each other.
    """
    resolved = as_base_model(base)
    folder = Path(resolved.path).resolve()
    with suppress(UserError, OSError):
        model_fingerprint(base)
    if not folder.is_dir() or folder in seen:
        return
    with suppress(UserError, OSError):
        refuse_changed(folder)
    for below in _below(resolved, folder):
        hash_files(below, seen | {folder})


def _below(resolved: BaseModel, folder: Path) -> Iterator[str | BaseModel]:
    """The models that an adapter or a composite model stands on."""
    with suppress(UserError, OSError):
        if (folder / "adapter_config.json").is_file():
            yield adapter_base(resolved)
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        for pointer in json.loads((folder / "config.json").read_bytes())["parts"].values():
            yield str(folder / pointer["path"])


@contextmanager
def _named(key: str) -> Iterator[None]:
    try:
        yield
    except RecipeError as error:
        message = error.message.removeprefix("model.base: ")
        raise RecipeError(f"{key}: {message}", hint=error.hint) from error
