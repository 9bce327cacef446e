"""A process whose other ones are killed does not wait for ever, and says why it ends."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.fabric.strategies.launchers.subprocess_script import _launch_process_observer
from processes import PATIENCE

from unlearnkit.runs.processes import watch
from unlearnkit.runs.processes.lost import FIRST_OF_RUN

FORK = multiprocessing.get_context("fork")


def _trainer(*started: subprocess.Popen, externally: bool = False) -> Any:
    """A trainer whose launcher has started processes, with Lightning's own watch of them."""
    environment = SimpleNamespace(creates_processes_externally=externally)
    launcher = SimpleNamespace(procs=list(started), cluster_environment=environment)
    if started:
        _launch_process_observer(launcher.procs)
    return SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))


def _sleeper() -> subprocess.Popen:
    return subprocess.Popen(["sleep", "60"])


def _begin(said: Path) -> None:
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = os.fdopen(2, "w")
    logging.getLogger().handlers.clear()  # those of pytest
    logging.lastResort = logging.StreamHandler(sys.stderr)
    watch._GRACE_SECONDS = watch._LOOK_SECONDS = 0.05


def _inside(folder: Path, said: Path) -> None:
    _begin(said)
    others = [_sleeper(), _sleeper()]
    (folder / "others").write_text(" ".join(str(each.pid) for each in others))
    with watch.watched(_trainer(*others), folder):
        others[0].send_signal(signal.SIGKILL)
        time.sleep(60)


def _second_block(folder: Path, said: Path) -> None:
    """What is started for the first phase of a run is watched in the second."""
    _begin(said)
    other = _sleeper()
    with watch.watched(_trainer(other), folder / "first"):
        time.sleep(0.3)
    with watch.watched(_trainer(externally=True), folder):
        other.send_signal(signal.SIGKILL)
        time.sleep(60)


def _before_connecting(folder: Path, said: Path) -> None:
    """The others come a little later than the watch, and one ends before it has connected."""
    _begin(said)
    trainer = _trainer()
    with watch.watched(trainer, folder):
        time.sleep(0.3)
        trainer.strategy.launcher.procs.append(subprocess.Popen(["false"]))
        _launch_process_observer(trainer.strategy.launcher.procs)
        time.sleep(60)


def _started_by_another(folder: Path, said: Path) -> None:
    _begin(said)
    first = _sleeper()
    os.environ[FIRST_OF_RUN] = str(first.pid)
    with watch.watched(_trainer(externally=True), folder):
        first.send_signal(signal.SIGKILL)
        time.sleep(60)


@pytest.mark.parametrize("waits", [_inside, _second_block, _before_connecting, _started_by_another])
def test_it_ends_with_the_last_checkpoint_and_ends_the_others(tmp_path, waits) -> None:
    (tmp_path / "step=3.ckpt").touch()
    process = FORK.Process(target=waits, args=(tmp_path, tmp_path / "said"))
    process.start()
    process.join(timeout=PATIENCE)
    assert process.exitcode == 143
    said = (tmp_path / "said").read_text()
    assert "another process of this run ended" in said
    # A long path has a line of its own at 80 columns.
    at = f"The last checkpoint before it is {tmp_path / 'step=3.ckpt'}."
    assert at in " ".join(said.split())
    for number in (tmp_path / "others").read_text().split() if waits is _inside else ():
        state = Path(f"/proc/{number}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def _after(folder: Path, said: Path) -> None:
    _begin(said)
    other = _sleeper()
    with watch.watched(_trainer(other), folder):
        pass
    other.send_signal(signal.SIGKILL)
    # Lightning's own watch looks after five seconds.
    time.sleep(6)


def _ends_well(folder: Path, said: Path) -> None:
    _begin(said)
    with watch.watched(_trainer(subprocess.Popen(["true"])), folder):
        assert watch._current is not None
        watch._current.join(timeout=PATIENCE)
        assert not watch._current.is_alive()


def _watched_by_others(folder: Path, said: Path) -> None:
    _begin(said)
    with watch.watched(_trainer(externally=True), folder):
        assert watch._current is None


@pytest.mark.parametrize("ends", [_after, _ends_well, _watched_by_others])
def test_what_needs_no_other_process_is_not_ended(tmp_path, ends) -> None:
    process = FORK.Process(target=ends, args=(tmp_path, tmp_path / "said"))
    process.start()
    process.join(timeout=PATIENCE)
    assert process.exitcode == 0
    assert not (tmp_path / "said").read_text()
