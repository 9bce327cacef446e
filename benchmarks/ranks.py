"""Processes of one command that find each other, each on one thread."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any


def on_ranks(module: str, ranks: int, *words: str) -> list[dict[str, Any]]:
    """What each of so many processes finds, by rank.

    Args:
        module: Run with ``--process``; its last line is a JSON object.
        ranks: Number of processes.
        words: Further words of its command.

    Raises:
        SystemExit: If a process fails.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", module, "--process", *words],
            env={**os.environ, **world, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, text=True,
        )
        for rank in range(ranks)
    ]  # fmt: skip
    texts = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a process failed")
    return [json.loads(text.splitlines()[-1]) for text in texts]
