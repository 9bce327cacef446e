"""A process runs until it has ended, whether or not its parent knows."""

from __future__ import annotations

import os
import subprocess
import time

from unlearnkit.processes import runs


def test_a_process_that_nobody_has_collected_does_not_run() -> None:
    process = subprocess.Popen(["sleep", "60"])
    assert runs(process.pid)
    process.kill()
    until = time.monotonic() + 10
    while runs(process.pid) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, 0)  # its number is still taken
    assert not runs(process.pid)
    process.wait()
    assert not runs(process.pid)


def test_processes_of_others_run() -> None:
    assert runs(1)
