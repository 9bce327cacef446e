"""Watches the other processes of a run that Lightning starts."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import lightning as L

from unlearnkit.processes import runs
from unlearnkit.runs.failures import alone
from unlearnkit.runs.processes.lost import first_of_run, note_others

logger = logging.getLogger(__name__)
_GRACE_SECONDS, _LOOK_SECONDS = 30.0, 0.5
_OF_LIGHTNING = "child-process-observer"
"""The name of the thread in which Lightning watches the processes that it has started."""


class NoteOthers(L.Callback):
    """Has the processes of a run know each other, so that one knows of another's end."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Learns who the others are."""
        note_others()


@contextmanager
def watched(trainer: L.Trainer, folder: Path) -> Iterator[None]:
    """Ends this process if another one of the run ends inside the block.

    Lightning's own watch kills this process within five seconds of another one's end, which may be
    before it has said what happened; that watch is relieved. What comes after the block, such as
    saving the model, is done by one process alone, or by calls that notice it at once.

    Args:
        trainer: The run's.
        folder: The run folder.
    """
    global _current
    if _current is None or not _current.is_alive():
        others = _others_of(trainer.strategy.launcher)
        _current = _Watch(others) if others is not None else None
        if _current is not None:
            _current.start()
    if _current is not None:  # the one of an earlier phase goes on
        _current.folder = folder
    yield
    if _current is not None:
        _current.folder = None


class _Others(Protocol):
    """Other processes of a run, as one of them sees them."""

    def ended(self) -> bool | None:
        """Whether one has ended that is needed; False once all have ended well."""
        ...

    def end(self) -> None:
        """Ends those that this process has started."""
        ...


def _others_of(launcher: Any) -> _Others | None:
    """Whom to watch; None where somebody else does, such as torchrun."""
    first = first_of_run()
    if first is not None:
        return _First(first)
    environment = getattr(launcher, "cluster_environment", None)
    if environment is None or environment.creates_processes_externally:
        return None
    return _Started(launcher)


class _First:
    """The process that has started this one."""

    def __init__(self, number: int) -> None:
        self.number = number

    def ended(self) -> bool | None:
        return None if runs(self.number) else True

    def end(self) -> None:
        pass


class _Started:
    """The processes that Lightning's launcher starts from this one, once it has."""

    def __init__(self, launcher: Any) -> None:
        self.launcher = launcher
        self.taken: list[subprocess.Popen[bytes]] = []

    def ended(self) -> bool | None:
        if not self.taken:
            self._take_over()
        ends = [each.poll() for each in self.taken]
        return True if any(ends) else None if None in ends or not ends else False

    def end(self) -> None:
        for each in self.taken:
            each.kill()

    def _take_over(self) -> None:
        started: list[subprocess.Popen[bytes]] = getattr(self.launcher, "procs", [])
        if started and any(each.name == _OF_LIGHTNING for each in threading.enumerate()):
            self.taken = self.launcher.procs = list(started)
            # The list that Lightning's watch holds: of none it has nothing to watch.
            started.clear()


class _Watch(threading.Thread):
    """Ends this process some time after another one, unless it has ended by itself.

    A collective call that waits for a process that is gone may wait for ever on a GPU, and one that
    waits for a process to connect for half an hour anywhere.
    """

    def __init__(self, others: _Others) -> None:
        super().__init__(daemon=True, name="watch of the other processes")
        self.others = others
        self.folder: Path | None = None
        """The run folder; None while this process needs no other."""

    def run(self) -> None:
        """Watches until all others have ended well, or one has not."""
        while (ended := self.others.ended()) is not False:
            if ended and self.folder is not None:
                time.sleep(_GRACE_SECONDS)
                if self.folder is not None:
                    self._end(self.folder)
            time.sleep(_LOOK_SECONDS)

    def _end(self, folder: Path) -> None:
        said = alone(folder)
        if not said.told:
            logger.error("%s", said)
        self.others.end()
        os._exit(128 + said.signum)


_current: _Watch | None = None
