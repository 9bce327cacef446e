from __future__ import annotations

from pathlib import Path

import lightning as L
import pytest
from lightning.pytorch.callbacks import EarlyStopping, Timer

from unlearnkit.callbacks import CollapseStop
from unlearnkit.runs.trainer import log_short_runs_too, point_at, stopped_by


@pytest.fixture
def trainer() -> L.Trainer:
    return L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)


def test_logs_and_checkpoints_go_to_the_folder_and_each_run_is_watched(trainer, tmp_path) -> None:
    point_at(trainer, tmp_path)
    assert [Path(str(logger.log_dir)) for logger in trainer.loggers] == [tmp_path]
    assert trainer.checkpoint_callbacks[0].dirpath == str(tmp_path / "checkpoints")
    assert sum(isinstance(each, CollapseStop) for each in trainer.callbacks) == 1


def test_an_own_guard_stays_the_only_one(tmp_path) -> None:
    trainer = L.Trainer(accelerator="cpu", logger=False, callbacks=[CollapseStop(forget_nll=3.0)])
    point_at(trainer, tmp_path)
    (guard,) = (each for each in trainer.callbacks if isinstance(each, CollapseStop))
    assert stopped_by(trainer) is None
    guard.reason = "enough"
    assert stopped_by(trainer) == "enough"


@pytest.mark.parametrize(("steps", "every"), [(10, 1), (200, 4), (10**6, 50)])
def test_short_runs_log_more_often(trainer, steps, every) -> None:
    log_short_runs_too(trainer, steps)
    assert trainer.log_every_n_steps == every


def test_what_stopped_a_run_is_said_with_its_step() -> None:
    stop, timer = EarlyStopping("loss"), Timer(duration={"seconds": 0})
    for callback, said in ((stop, "EarlyStopping: no better"), (timer, "max_time is over")):
        trainer = L.Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[callback]
        )
        if callback is stop:
            assert stopped_by(trainer) is None
            stop.stopping_reason_message = "no better"
        assert stopped_by(trainer) == f"step 0: {said}"
