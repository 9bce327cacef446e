"""The folder of a sharded checkpoint, with digests of its files.

It holds safetensors files, which the processes have written, one file of plain values, which loads
without running code, and a list of both with their digests, which is written last.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from unlearnkit.engine.ranks import connected
from unlearnkit.errors import RecipeError
from unlearnkit.files import flush_to_disk, name_beside, whole_file, write_json
from unlearnkit.hashed import file_digest

LIST = "checkpoint.json"
"""Lists the other files with their digests. A folder without it is no checkpoint."""
PLAIN = "plain.pt"
"""What is not sharded: progress, random states, settings of the optimizers."""
SHARDS = "*.safetensors"
_HINT = "Resume from an earlier checkpoint, one that unlearnkit or Lightning wrote."


def is_folder_of_shards(path: str | Path) -> bool:
    """Whether a sharded checkpoint is there, whole by its list."""
    return "://" not in str(path) and (Path(path) / LIST).is_file()


def digests_of(files: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each file, by its name."""
    return {file.name: file_digest(file).hex() for file in files}


def complete(folder: Path, plain: bytes, shards: Mapping[str, str]) -> None:
    """Writes what the first process adds once all shards are on disk.

    Args:
        folder: The unfinished checkpoint.
        plain: What `as_bytes` made of the plain values.
        shards: The digest of each file of shards.
    """
    with whole_file(folder / PLAIN, flush=True) as unfinished:
        unfinished.write_bytes(plain)
    listed = {**shards, **digests_of([folder / PLAIN])}
    write_json(folder / LIST, {"format": 1, "sha256": dict(sorted(listed.items()))})
    flush_to_disk(folder / LIST)
    flush_to_disk(folder)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Renames a whole checkpoint; one of that name is removed when the new one is there.

    Meanwhile it has a name that ends in ``.ckpt`` too: there is a whole one at every moment.
    """
    before = path.with_name(f"{path.stem}.before{path.suffix}")
    replaces = path.exists()
    if replaces:
        discard(before)
        path.rename(before)
    unfinished.rename(path)
    flush_to_disk(path.parent)
    if replaces:
        discard(before)


def discard(path: Path) -> None:
    """Removes a checkpoint of any kind, so that no part of it is ever taken for one."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    going = name_beside(path)
    path.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def as_bytes(values: Mapping[str, Any]) -> bytes:
    """Plain values as they are now, whatever becomes of them."""
    buffer = io.BytesIO()
    torch.save(values, buffer)
    return buffer.getvalue()


def plain_part(folder: Path) -> dict[str, Any]:
    """Reads what is not sharded.

    Raises:
        RecipeError: If the folder is no checkpoint, or the file is not the one that was written.
    """
    wrong = _wrong(folder, [PLAIN], _listed(folder))
    if wrong:
        raise _damaged(folder, wrong)
    try:
        return torch.load(folder / PLAIN, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise RecipeError(
            f"--ckpt_path: {folder / PLAIN} holds objects whose loading could run code", hint=_HINT
        ) from error


def refuse_damaged_shards(folder: Path) -> None:
    """Refuses a checkpoint that lacks a file, or whose bytes are not those that were written.

    A collective call once the processes are connected: each of them reads a part of the files.

    Raises:
        RecipeError: On all processes, with the files.
    """
    listed = _listed(folder)
    there = {file.name for file in folder.glob(SHARDS)}
    names = sorted({*listed, *there})
    rank, world = (dist.get_rank(), dist.get_world_size()) if connected() else (0, 1)
    found: list[list[str]] = [_wrong(folder, names[rank::world], listed)]
    if world > 1:
        own, found = found[0], [[]] * world
        dist.all_gather_object(found, own)
    if wrong := sorted(name for each in found for name in each):
        raise _damaged(folder, wrong)


def identity_of(folder: Path) -> str:
    """What copies of one checkpoint have in common: its list."""
    return (folder / LIST).read_text(encoding="utf-8", errors="replace")


def _damaged(folder: Path, wrong: list[str]) -> RecipeError:
    return RecipeError(f"--ckpt_path: {folder} is damaged: {', '.join(wrong)}", hint=_HINT)


def _wrong(folder: Path, names: Iterable[str], listed: Mapping[str, str]) -> list[str]:
    wrong: list[str] = []
    for name in names:
        if name not in listed:
            wrong.append(f"{name} (not in its list)")
        elif Path(name).name != name:
            wrong.append(f"{name} (outside of the folder)")
        elif not (folder / name).is_file():
            wrong.append(f"{name} (missing)")
        elif file_digest(folder / name).hex() != listed[name]:
            wrong.append(f"{name} (changed)")
    return wrong


def _listed(folder: Path) -> dict[str, str]:
    file = folder / LIST
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))["sha256"]
        return {str(name): str(digest) for name, digest in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecipeError(
            f"--ckpt_path: {folder} is no whole checkpoint: {LIST} is missing or broken", hint=_HINT
        ) from error
