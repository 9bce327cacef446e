"""A process whose other ones are killed does not wait for ever, and says why it ends."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver

from unlearnkit.runs.processes.watch import WatchOthers, _Watch

FORK = multiprocessing.get_context("fork")


def _waits(folder, said) -> None:
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = os.fdopen(2, "w")
    logging.getLogger().handlers.clear()  # those of pytest
    logging.lastResort = logging.StreamHandler(sys.stderr)
    others = [subprocess.Popen(["sleep", "60"]), subprocess.Popen(["sleep", "60"])]
    _Watch(folder, others, grace=0.05).start()
    others[0].send_signal(signal.SIGKILL)
    time.sleep(60)


def test_it_ends_with_the_last_checkpoint_and_ends_the_others(tmp_path) -> None:
    (tmp_path / "step=3.ckpt").touch()
    process = FORK.Process(target=_waits, args=(tmp_path, tmp_path / "said"))
    process.start()
    process.join(timeout=30)
    assert process.exitcode == 143
    said = (tmp_path / "said").read_text()
    assert "another process of this run ended" in said
    # A long path has a line of its own at 80 columns.
    at = f"The last checkpoint before it is {tmp_path / 'step=3.ckpt'}."
    assert at in " ".join(said.split())


def test_processes_that_end_well_end_nothing(tmp_path) -> None:
    watch = _Watch(tmp_path, [subprocess.Popen(["true"])], grace=0.01)
    watch.start()
    watch.join(timeout=30)
    assert not watch.is_alive()


@pytest.mark.parametrize("ends", ["true", "false"])
def test_the_watch_of_lightning_is_relieved(tmp_path, ends, monkeypatch) -> None:
    monkeypatch.setattr("unlearnkit.runs.processes.watch._Watch.start", lambda self: None)
    started = [subprocess.Popen([ends])]
    started[0].wait()
    observer = _ChildProcessObserver(main_pid=-1, child_processes=started)
    monkeypatch.setattr(observer, "_terminate_all", lambda: pytest.fail("it kills"))

    class Launcher:
        procs = started

    class Strategy:
        launcher = Launcher()

    class Trainer:
        strategy = Strategy()

    WatchOthers(tmp_path).setup(Trainer(), None, "fit")  # pyright: ignore
    assert observer._run()
    assert [each.args for each in Trainer.strategy.launcher.procs] == [[ends]]
