"""Writes files and folders whole or not at all; digests."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unlearnkit.errors import UserError
from unlearnkit.processes import HOST, runs

_PACKAGE = Path(__file__).resolve().parent
_CONTROLS = re.compile(
    "[\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u08e2\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
"""What JSON lets pass in a text; that below 32 it escapes itself."""


_UNFINISHED = re.compile(r"\..+\.([0-9a-f]{8})-(\d{1,18})-[0-9a-f]{12}\.unfinished", re.DOTALL)
"""The names of `name_beside`: machine and process."""


@contextmanager
def whole_file(path: Path, *, said: str = "cannot write", flush: bool = False) -> Iterator[Path]:
    """A file under a name of its own, which gets its real name once it is filled.

    Args:
        path: The file; one that is there is replaced.
        said: Start of the error message.
        flush: Wait until content and name are on disk.

    Raises:
        UserError: If the disk is full or cannot be written to. Nothing is left half-written.
    """
    unfinished = name_beside(path)
    try:
        yield unfinished
        if flush:
            flush_to_disk(unfinished)
        os.replace(unfinished, path)
        if flush:
            flush_to_disk(path.parent)
    except BaseException as error:
        with suppress(OSError):  # the folder itself may be what is wrong
            unfinished.unlink(missing_ok=True)
        _tell(error, f"{said} {path}")
        raise


@contextmanager
def whole_folder(folder: Path, *, said: str = "cannot write") -> Iterator[Path]:
    """A folder under a name of its own, which gets its real name once it is filled.

    If two processes write one folder, the first to finish wins and the other raises.

    Args:
        folder: The folder; it must not exist or be empty.
        said: Start of the error message.

    Raises:
        UserError: If the folder exists, the disk is full or cannot be written to. Nothing is left
            half-written.
    """
    refuse_occupied(folder)
    _remove_left_behind(folder)
    unfinished = name_beside(folder)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        try:
            # One atomic step, which replaces an empty folder and nothing else.
            unfinished.rename(folder)
        except OSError:
            refuse_occupied(folder)
            raise
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        _tell(error, f"{said} {folder}")
        raise


def refuse_occupied(folder: Path) -> None:
    """Refuses a folder in which something would be overwritten.

    Raises:
        UserError: If the folder exists and is not empty, or is the current one.
    """
    if not folder.name:
        raise UserError(
            f"{folder}: expected the name of a folder to write", hint="Give a new folder's name."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty", hint="Give another folder.")


def refuse_inside(folder: Path, source: Path) -> None:
    """Refuses a folder inside the one that is copied.

    Raises:
        UserError: If ``folder`` is below ``source``.
    """
    if source.resolve() in folder.resolve().parents:
        raise UserError(
            f"{folder} is inside {source}, which is copied", hint="Give a folder outside of it."
        )


def refuse_links_out(folder: Path) -> None:
    """Refuses a folder to be copied that has links to what is not in it.

    The cache of the Hub keeps a snapshot's files as links, which are let pass; so are those of the
    package's own models.

    Raises:
        UserError: With the links.
    """
    root = folder.resolve()
    inside = [root]
    if root.parent.name == "snapshots":
        inside.append(root.parents[1] / "blobs")
    if _PACKAGE in root.parents:
        inside.append(_PACKAGE)
    links = [each for each in folder.rglob("*") if each.is_symlink()]
    out = [
        str(each.relative_to(folder))
        for each in links
        if not any(each.resolve().is_relative_to(place) for place in inside)
    ]
    if out:
        raise UserError(
            f"{folder} has links that lead out of it, which are not followed: "
            f"{', '.join(sorted(out))}",
            hint="Replace each by the file that it stands for, or remove it.",
        )


def refuse_existing(path: Path) -> Path:
    """Returns the path if no such file exists.

    Raises:
        UserError: If it exists.
    """
    if path.exists():
        raise UserError(f"{path} exists and is not overwritten.", hint="Give another name.")
    return path


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        UserError: If the disk is full or the folder cannot be written to.
    """
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON, whole or not at all; see `write_bytes`."""
    write_text(path, as_json(value) + "\n")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON lines, whole or not at all; see `write_bytes`."""
    write_text(path, "".join(as_json(row, indent=None) + "\n" for row in rows))


def as_json(value: Any, indent: int | None = 2) -> str:
    r"""A value for JSON, with null in place of infinite numbers and NaN.

    Characters that control a terminal or break a line are escaped.

    Example:
        >>> as_json({"a": [1.0, math.nan], "b": (math.inf,), "c": "é\u202e"}, indent=None)
        '{"a": [1.0, null], "b": [null], "c": "é\\u202e"}'
    """
    found = _finite(value)
    text = json.dumps(found, indent=indent, ensure_ascii=False, allow_nan=False, default=str)
    return text if text.isascii() else _CONTROLS.sub(lambda each: f"\\u{ord(each[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def digest_of(data: bytes) -> str:
    """The first 64 bits of the SHA-256 of some bytes.

    Example:
        >>> digest_of(b"a")
        'sha256:ca978112ca1bbdca'
    """
    return f"sha256:{hashlib.sha256(data).hexdigest()[:16]}"


def name_beside(path: Path) -> Path:
    """A hidden name in the same folder that no other writer has."""
    own = f"{HOST}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    return path.with_name(f".{path.name}.{own}.unfinished")


def remove_left_behind(below: Path) -> None:
    """Removes what killed processes of this machine had begun to write anywhere below a folder.

    What a process that runs is writing stays, and so does what other machines wrote: whether their
    processes run is not known here.

    Args:
        below: The folder; it need not exist.
    """
    for folder, folders, files in os.walk(below):
        for name in [*folders, *files]:
            if _is_left_behind(name):
                _remove(Path(folder, name))
        folders[:] = [name for name in folders if not _is_left_behind(name)]


def _remove_left_behind(folder: Path) -> None:
    """Removes what killed processes of this machine left of the same folder."""
    for left in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if left.name.startswith(f".{folder.name}.{HOST}-") and _is_left_behind(left.name):
            _remove(left)


def _is_left_behind(name: str) -> bool:
    """Whether a name is one that a process of this machine gave which no longer runs."""
    found = _UNFINISHED.fullmatch(name)
    return found is not None and found[1] == HOST and not runs(int(found[2]))


def _remove(left: Path) -> None:
    with suppress(OSError):  # another process may remove it too
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def _tell(error: BaseException, what: str) -> None:
    """Raises a `UserError` for a full or broken disk, and nothing for any other error."""
    # safetensors has an exception of its own for it, and torch's writer a RuntimeError.
    of_writer = type(error).__module__.startswith("safetensors") or (
        isinstance(error, RuntimeError) and "PytorchStreamWriter" in str(error)
    )
    if isinstance(error, OSError) or of_writer:
        raise UserError(f"{what}: {getattr(error, 'strerror', None) or error}") from error


def flush_to_disk(path: Path) -> None:
    """Flushes a file's content, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def at_home(path: str | Path) -> Path:
    """A path with its ``~`` resolved; that of a user who is not known is a name like any other.

    Example:
        >>> at_home("~nobody-of-this-name/rows.jsonl").parts[0]
        '~nobody-of-this-name'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
