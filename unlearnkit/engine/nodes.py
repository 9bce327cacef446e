"""Files of the first process on nodes with disks of their own."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch.distributed as dist

from unlearnkit.engine.generation.dealing import LONGEST_WAIT, Ranks
from unlearnkit.errors import UserError
from unlearnkit.files import digest_of, whole_file

NODE = ("GROUP_RANK", "SLURM_NODEID", "NODE_RANK")
"""Variables in which torchrun, SLURM and Lightning number the nodes."""
CHUNK = 2**26
_PROBE = 2**20

logger = logging.getLogger(__name__)


def on_every_node(path: Path) -> None:
    """Gives each node that does not see a file of the first process a copy, at the same path.

    On a disk that all nodes share nothing is sent. A relative path is below each process's own
    working directory. A collective call once the processes are connected; before that, and with
    one process, it does nothing.

    Args:
        path: A file or folder of the first process. What it lacks itself is sent to nobody.

    Raises:
        UserError: On all processes, if a node cannot write its copy.
    """
    ranks = Ranks.joined()
    if ranks is None:
        return
    theirs: dict[str, str] = ranks.of_first(_listed(path) if ranks.rank == 0 else None)
    place = (platform.node(), *map(os.environ.get, NODE), str(path.absolute()))
    every = ranks.gathered((place, _lacking(path, theirs)))
    # Of the processes that write to one disk the first does.
    writers = {place: rank for rank, (place, lacking) in reversed([*enumerate(every)]) if lacking}
    if not writers:
        return
    names = sorted({name for _, lacking in every for name in lacking})
    logger.info("%s is sent to processes %s", path, ", ".join(map(str, sorted(writers.values()))))
    members = [0, *sorted(writers.values())]
    group = dist.new_group(members, backend="gloo", timeout=LONGEST_WAIT)
    failed = None
    if ranks.rank in members:
        assert isinstance(group, dist.ProcessGroup)
        failed = _exchange(Ranks(group), path, names, set(_lacking(path, theirs)))
    ranks.gathered(None)  # others of a writer's node find its copy whole, not half-written
    if failed is None and (lacking := _lacking(path, theirs)):
        failed = f"{path / lacking[0]} is not what the first process has"
    told = ranks.gathered(failed and (platform.node(), failed))
    for rank, said in enumerate(told):
        if said is not None:
            raise UserError(
                f"process {rank} on {said[0]} has no copy of the first process's file: {said[1]}",
                hint="Make room there, or use a disk that all nodes see.",
            )


def _exchange(group: Ranks, path: Path, names: list[str], lacking: set[str]) -> str | None:
    """Sends files from the first process; gives what went wrong with writing them here."""
    failed = None
    for name in names:
        chunks = _chunks(group, path / name)
        if group.rank and name in lacking and failed is None:
            try:
                _write(path / name, chunks)
            except (OSError, UserError) as error:
                failed = str(error)
        for _ in chunks:  # every member takes part in every chunk
            pass
    return failed


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        file.writelines(chunks)


def _chunks(group: Ranks, path: Path) -> Iterator[bytes]:
    """The parts of a file, an empty one last, which the first member reads."""
    if group.rank:
        while chunk := group.of_first(None):
            yield chunk
        return
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield group.of_first(chunk)
    except OSError:  # what has come is not the whole file, which each member finds
        logger.exception("cannot send %s", path)
    group.of_first(b"")


def _listed(path: Path) -> dict[str, str]:
    """Files by their names below a path, with what identifies them; the path itself is ``.``."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        return {str(each.relative_to(path)): _identity(each) for each in files}
    return {".": _identity(path)} if path.is_file() else {}


def _lacking(path: Path, theirs: dict[str, str]) -> list[str]:
    """Files that are not here, or are others."""
    return [name for name, identity in theirs.items() if _identity(path / name) != identity]


def _identity(file: Path) -> str:
    """Size and digest of beginning, middle and end: a checkpoint's end lists checksums of all."""
    if not file.is_file():
        return ""
    size = file.stat().st_size
    parts = []
    with file.open("rb") as stream:
        for start in (0, max(0, size // 2 - _PROBE // 2), max(0, size - _PROBE)):
            stream.seek(start)
            parts.append(stream.read(_PROBE))
    return f"{size} {digest_of(b''.join(parts))}"
