"""A process runs until it has ended, whether or not its parent knows."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from processes import PATIENCE

from unlearnkit.processes import _ends, runs


def test_a_process_that_nobody_has_collected_does_not_run() -> None:
    process = subprocess.Popen(["sleep", "60"])
    assert runs(process.pid)
    process.kill()
    until = time.monotonic() + PATIENCE
    while runs(process.pid) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, 0)  # its number is still taken
    assert not runs(process.pid)
    process.wait()
    assert not runs(process.pid)


def test_processes_of_others_run() -> None:
    assert runs(1)


@pytest.mark.parametrize(
    ("state", "flags", "ends"),
    [("S", 0x400100, False), ("R", 0x400104, True), ("Z", 0x40010C, True), ("D", 0x404, True)],
)
def test_one_that_the_system_is_ending_does_not_run(state, flags, ends) -> None:
    """The flag comes before sockets are closed, by which others may already know of the end."""
    assert _ends(f"71 (a (b) c) {state} 1 71 71 0 -1 {flags} 0 0".encode()) == ends
    assert not _ends(b"")
