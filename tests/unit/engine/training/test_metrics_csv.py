from __future__ import annotations

import csv

import pytest

from unlearnkit.engine.training import metrics_csv
from unlearnkit.engine.training.metrics_csv import MetricsCsv
from unlearnkit.errors import UserError


def test_a_disk_that_fills_while_a_column_is_added_costs_nothing(tmp_path, monkeypatch) -> None:
    logger = MetricsCsv(tmp_path, name="", version="")
    logger.log_metrics({"b": 1.0}, step=0)
    logger.save()
    before = (tmp_path / "metrics.csv").read_text()

    class Full(csv.DictWriter):
        def writerows(self, rows) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(metrics_csv.csv, "DictWriter", Full)
    logger.log_metrics({"a": 2.0}, step=1)
    with pytest.raises(UserError, match=r"metrics\.csv: No space left"):
        logger.save()
    assert (tmp_path / "metrics.csv").read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_column_that_comes_later_is_added(tmp_path) -> None:
    logger = MetricsCsv(tmp_path, name="", version="")
    for step, metrics in enumerate(({"b": 1.0}, {"a": 2.0}, {"a": 3.0, "b": 4.0})):
        logger.log_metrics(metrics, step=step)
        logger.save()
    rows = list(csv.reader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert rows == [["a", "b", "step"], ["", "1.0", "0"], ["2.0", "", "1"], ["3.0", "4.0", "2"]]
