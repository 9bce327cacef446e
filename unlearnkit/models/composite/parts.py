"""Locates the parts of a composite model and checks their digests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel, as_base_model, is_embedded
from unlearnkit.models.composite.base import PARTS, CompositeConfig
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.logit_transform import transform_fields

Loaded = TypeVar("Loaded")
Config = TypeVar("Config", bound=CompositeConfig)
POINTER = ("path", "gguf_file", "revision", "first_blocks")
"""Fields of a model's description that a composite model keeps of its parts."""


def load_part(
    config: CompositeConfig, name: str, resolved: BaseModel, load: Callable[[BaseModel], Loaded]
) -> Loaded:
    """A part of a folder, which is below it or where the folder points.

    Args:
        config: The folder's; it is made to point at the part wherever the model is saved.
        name: The part's.
        resolved: The folder.
        load: Loads a model.

    Raises:
        RecipeError: If it is missing or has changed.
    """
    pointer = checked_pointers(resolved.path, config.parts, name)[name]
    part = replace(
        BaseModel(**pointer_fields(pointer), dtype=resolved.dtype),
        attn_implementation=resolved.attn_implementation,
    )
    if is_inside(name, pointer):
        part = replace(part, path=str((Path(resolved.path) / part.path).resolve()))
    try:
        found, known = model_fingerprint(part), pointer.get("fingerprint")
        if known != found:
            raise RecipeError(f"{part.path} is no longer the model it was ({found}, not {known})")
        loaded = load(part)
    except (RecipeError, OSError) as error:
        reason = str(error).removeprefix("model.base: ")
        raise RecipeError(
            f"{resolved.path}: its part '{name}' cannot be used: {reason}",
            hint=f"Put it back, or make the model anew (unlearnkit edit {config.edit}).",
        ) from error
    config.parts[name] = {**pointer, "path": part.path}
    return loaded


def checked_pointers(folder: str | Path, parts: Any, *expected: str) -> dict[str, dict[str, Any]]:
    """What a folder's config says of its parts, if it is what an edit writes.

    Args:
        folder: The folder.
        parts: The value in its config.
        *expected: Parts that it must have.

    Raises:
        RecipeError: With every part that is missing, has a name that is no plain one, or lacks
            path or fingerprint.
    """
    file = Path(folder) / "config.json"
    if not isinstance(parts, dict):
        raise RecipeError(f"{file}: parts: expected a mapping, found {parts!r}")
    wrong = [f"'{name}' is missing" for name in expected if name not in parts]
    for name, pointer in parts.items():
        if not name.isidentifier():
            # It is a folder's name too, and that folder is to be in this one.
            wrong.append(f"{name!r} is not a name of letters and digits")
        elif not isinstance(pointer, dict):
            wrong.append(f"'{name}' is no mapping")
        else:
            wrong += [
                f"'{name}' has no {key}"
                for key in ("path", "fingerprint")
                if not isinstance(pointer.get(key), str)
            ]
    if wrong:
        raise RecipeError(
            f"{file}: parts: {'; '.join(wrong)}", hint="Make the model anew by its edit."
        )
    return parts


def is_inside(name: str, pointer: Mapping[str, Any]) -> bool:
    """Whether a part is in the folder that names it; other folders are named from the root."""
    return pointer["path"] == f"{PARTS}/{name}"


def with_fingerprints(config: Config, folder: Path) -> Config:
    """The config with a fingerprint of each part; those that are saved are in ``folder``."""
    written = copy.deepcopy(config)
    for name in config.saved:
        own = model_fingerprint(str(folder / PARTS / name))
        written.parts[name] = {"path": f"{PARTS}/{name}", "fingerprint": own}
    for name, pointer in written.parts.items():
        if "fingerprint" not in pointer:
            own = model_fingerprint(BaseModel(**pointer_fields(pointer)))
            written.parts[name] = {**pointer, "fingerprint": own}
    return written


def use_own_generation_config(model: PreTrainedModel, folder: str) -> None:
    """Gives a model the generation config of its folder, if there is one."""
    if (Path(folder) / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)


def pointer_to(part: BaseModel) -> dict[str, Any]:
    """What a folder keeps of where a model is."""
    found = {name: getattr(part, name) for name in POINTER if getattr(part, name) is not None}
    folder = Path(as_base_model(part).path)
    if not is_embedded(part.path) and folder.is_dir():
        found["path"] = str(folder.resolve())
    return found


def fields_around(
    config: PreTrainedConfig, model: type[PreTrainedModel], **parts: BaseModel
) -> dict[str, Any]:
    """Fields of the config of a model around a base, from the base's own.

    Args:
        config: The base's.
        model: Class of the model around it.
        **parts: The parts, each with its name; they are fingerprinted.
    """
    text = config.get_text_config()
    return {
        "parts": {
            name: {**pointer_to(part), "fingerprint": model_fingerprint(part)}
            for name, part in parts.items()
        },
        "vocab_size": text.vocab_size,
        "num_hidden_layers": text.num_hidden_layers,
        "max_position_embeddings": getattr(text, "max_position_embeddings", None),
        "architectures": [model.__name__],
        "bos_token_id": text.bos_token_id,
        "eos_token_id": text.eos_token_id,
        "pad_token_id": text.pad_token_id,
        **transform_fields(text),
    }


def pointer_fields(pointer: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a `BaseModel` that a pointer holds."""
    return {key: value for key, value in pointer.items() if key in POINTER}
