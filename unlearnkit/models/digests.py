"""Records digests of a model folder, and checks them before loading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlearnkit.errors import RecipeError
from unlearnkit.files import whole_folder, write_json
from unlearnkit.hashed import file_digest

DIGESTS = "digests.json"
_KEPT = (
    "*.safetensors",
    "config.json",
    "adapter_config.json",
    "tokenizer.json",
    "*.index.json",
    "*.index",
)
"""Files that decide what a model computes. A card, or a chat template, may be changed."""
_POINTERS = ("base_model_name_or_path", "revision", "parts")
"""Keys of configs that tell where another model is; it may be moved, and is checked by itself."""


@contextmanager
def whole_model_folder(folder: Path, *, said: str = "cannot write") -> Iterator[Path]:
    """As `whole_folder`, of a model: the digests of its files are recorded at the end.

    Args:
        folder: The folder; it must not exist or be empty.
        said: Begins the message of a failure.

    Raises:
        UserError: If the folder exists, the disk is full or cannot be written to.
    """
    with whole_folder(folder, said=said) as unfinished:
        yield unfinished
        record_digests(unfinished)


def record_digests(folder: Path) -> None:
    """Writes ``digests.json``; those of parts below, copied from elsewhere, are replaced by it."""
    for copied in folder.rglob(DIGESTS):
        copied.unlink()
    write_json(folder / DIGESTS, {"sha256": {name: _digest(folder / name) for name in _of(folder)}})


def refuse_changed(folder: str | Path, *, configs_only: bool = False) -> None:
    """Refuses a folder whose files are no longer what was recorded; others are let pass.

    Args:
        folder: A model's folder.
        configs_only: Leave weights and the tokenizer out, which take time.

    Raises:
        RecipeError: With the files that are missing or changed.
    """
    place = Path(folder)
    file = place / DIGESTS
    if not file.is_file():
        return
    again = f"Put the folder back as it was. If the change is meant, remove {file}."
    try:
        known: Any = json.loads(file.read_text(encoding="utf-8"))["sha256"]
        recorded = {str(name): str(digest) for name, digest in known.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecipeError(
            f"model.base: {file} is broken: expected a digest for each file", hint=again
        ) from error
    wrong: list[str] = []
    for name, digest in recorded.items():
        if configs_only and not name.endswith("config.json"):
            continue
        if ".." in Path(name).parts or Path(name).is_absolute():
            wrong.append(f"{name} (outside of the folder)")
        elif not (place / name).is_file():
            wrong.append(f"{name} (missing)")
        elif _digest(place / name) != digest:
            wrong.append(f"{name} (changed)")
    # A whole file of weights beside pieces would be taken in their place.
    added = sorted(each.name for each in place.glob("*.safetensors"))
    wrong += [f"{name} (added)" for name in added if name not in recorded]
    if wrong:
        raise RecipeError(
            f"model.base: {place} is no longer the model that was written: {', '.join(wrong)}",
            hint=again,
        )


def _of(folder: Path) -> list[str]:
    return sorted(
        {
            each.relative_to(folder).as_posix()
            for pattern in _KEPT
            for each in folder.rglob(pattern)
            if each.is_file()
        }
    )


def _digest(file: Path) -> str:
    """The SHA-256; of a config without its pointers."""
    if file.name.endswith("config.json"):
        try:
            config = json.loads(file.read_bytes())
        except (ValueError, RecursionError):
            return file_digest(file).hex()
        if isinstance(config, dict):
            config = {key: value for key, value in config.items() if key not in _POINTERS}
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    return file_digest(file).hex()
