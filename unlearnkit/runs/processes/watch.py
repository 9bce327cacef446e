"""Watches the processes that Lightning started for the other ranks."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L

from unlearnkit.runs.failures import alone
from unlearnkit.runs.processes.lost import note_others

logger = logging.getLogger(__name__)
_GRACE_SECONDS = 30.0


class WatchOthers(L.Callback):
    """Knows the other processes of a run, and what becomes of those that this one started.

    Lightning's own watch kills this process within five seconds of another one's end, which may be
    before it has said what happened; that watch is relieved.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Learns who the others are, and begins to watch."""
        note_others()
        launcher: Any = trainer.strategy.launcher
        started: list[subprocess.Popen[bytes]] = getattr(launcher, "procs", [])
        if started:
            launcher.procs = list(started)
            _Watch(self.folder, list(started)).start()
            # The list that Lightning's watch holds: of none it has nothing to watch.
            started.clear()


class _Watch(threading.Thread):
    """Ends this process some time after another one, unless it has ended by itself.

    A collective call that waits for a process that is gone may wait for ever on a GPU.
    """

    def __init__(
        self,
        folder: Path,
        started: Sequence[subprocess.Popen[bytes]],
        grace: float = _GRACE_SECONDS,
    ) -> None:
        super().__init__(daemon=True, name="watch of the other processes")
        self.folder, self.started, self.grace = folder, started, grace

    def run(self) -> None:
        """Watches until all others have ended well, or one has not."""
        ends = [each.poll() for each in self.started]
        while not any(ends):
            if None not in ends:
                return
            time.sleep(min(1.0, self.grace))
            ends = [each.poll() for each in self.started]
        time.sleep(self.grace)
        said = alone(self.folder)
        logger.error("%s", said)
        for each in self.started:
            each.kill()
        os._exit(128 + said.signum)
