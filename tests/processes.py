"""Runs functions in processes of their own, which need not import the libraries first.

A server imports them once; each process is forked from it. The server has neither this package, nor
threads, nor anything that tests have set.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

LIBRARIES = [
    "torch", "lightning", "transformers", "peft", "datasets", "torchmetrics", "jsonargparse",
    "scipy.stats", "sacrebleu", "altair",
]  # fmt: skip
PATIENCE = 1200.0
"""Seconds after which something hangs; a busy machine takes minutes for what else takes one."""
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(LIBRARIES)
_AT_FIRST = dict(os.environ)
"""The environment before any test has set something."""
_HELD: list[socket.socket] = []


class Done(NamedTuple):
    """A process that has ended."""

    returncode: int
    stdout: str
    stderr: str


class Running(NamedTuple):
    """A process that has begun."""

    process: Any
    folder: Path

    def wait(self, timeout: float = PATIENCE) -> Done:
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        texts = [(self.folder / name).read_text() for name in ("stdout", "stderr")]
        shutil.rmtree(self.folder)
        return Done(self.process.exitcode, *texts)


def start(
    function: Callable[..., Any],
    *arguments: Any,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
) -> Running:
    """Begins a function of an importable module; what it returns is the code of the process."""
    folder = Path(tempfile.mkdtemp(prefix="process-"))
    given = (folder, str(cwd or os.getcwd()), {**os.environ, **(env or {})}, function, arguments)
    process = _SERVER.Process(target=_begin, args=given)
    _begin_server()
    process.start()
    return Running(process, folder)


def run(function: Callable[..., Any], *arguments: Any, **options: Any) -> Done:
    """Runs a function to its end; options are those of `start`."""
    return start(function, *arguments, **options).wait()


def run_ranks(count: int, function: Callable[..., Any], *arguments: Any) -> list[Done]:
    """Runs a function on each of so many ranks, as Lightning's launcher would start it."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    world = {**place, "WORLD_SIZE": str(count), "NODE_RANK": "0"}
    ranks = [
        start(function, *arguments, env={**world, "LOCAL_RANK": str(rank)}) for rank in range(count)
    ]
    return [rank.wait() for rank in ranks]


def free_port() -> int:
    """A port for a server that is yet to begin; until this process ends, no other is given it.

    Linux has a server listen where a socket is bound that does not, if both allow it.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    if sys.platform == "linux":
        _HELD.append(held)
    return held.getsockname()[1]


def run_code(code: str, *words: str) -> str:
    """Runs code that cannot import this package, with arguments; gives what it prints."""
    done = run(_execute, code, words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _begin_server() -> None:
    now = dict(os.environ)
    os.environ.clear()
    os.environ.update(_AT_FIRST)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(now)


def _begin(
    folder: Path, cwd: str, env: dict[str, str], function: Callable, arguments: tuple
) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    multiprocessing.set_start_method(None, force=True)  # for data loaders, as anywhere else
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    # As it reads it when it is imported.
    rank_zero_only.rank = int(env.get("RANK", env.get("LOCAL_RANK", 0)))
    sys.exit(function(*arguments))


def _execute(code: str, words: tuple[str, ...]) -> None:
    sys.modules["unlearnkit"] = None  # pyright: ignore
    sys.argv[1:] = words
    exec(code, {})
