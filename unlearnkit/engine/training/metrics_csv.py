"""The logger of ``metrics.csv``, which is never half-rewritten."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers.csv_logs import CSVLogger, ExperimentWriter

from unlearnkit.files import whole_file


class MetricsCsv(CSVLogger):
    """Lightning's logger, but for how it makes room for a metric that was not logged before.

    Its own rewrites the file in place, so that a kill or a full disk costs what was logged.
    """

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """What writes the file; on other processes than the first, a dummy."""
        if self._experiment is None:
            self._experiment = _Writer(log_dir=self.log_dir)
        return self._experiment


class _Writer(ExperimentWriter):
    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with whole_file(path) as unfinished, unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=fieldnames)
            writer.writeheader()
            writer.writerows(rows)
