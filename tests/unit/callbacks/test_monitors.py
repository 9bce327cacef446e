from __future__ import annotations

import lightning as L
import pytest
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint

from unlearnkit.callbacks.monitors import check_monitors
from unlearnkit.errors import RecipeError


def check(*callbacks: L.Callback) -> None:
    trainer = L.Trainer(accelerator="cpu", logger=False, callbacks=list(callbacks))
    check_monitors(trainer, L.LightningModule(), ["forget", "retain"], ["forget", "mismatch"])


@pytest.mark.parametrize("monitor", ["nonsense", "val_loss", "loss", "train/fogret", "train_loss"])
@pytest.mark.parametrize("cls", [EarlyStopping, ModelCheckpoint])
def test_what_is_never_logged_is_refused_with_what_is(cls, monitor) -> None:
    with pytest.raises(RecipeError, match=f"{cls.__name__}.monitor: '{monitor}'") as caught:
        check(cls(monitor=monitor))
    assert "train/loss, train/forget, train/retain" in str(caught.value.hint)


@pytest.mark.parametrize(
    "monitor", ["train/loss", "train/forget", "train/mismatch_logps", "val/score", "val/a/b/c"]
)
def test_what_is_logged_is_let_pass(monitor) -> None:
    check(EarlyStopping(monitor=monitor), ModelCheckpoint(monitor=monitor))


def test_counts_and_none_are_for_checkpoints_alone() -> None:
    check(ModelCheckpoint(monitor="step"), ModelCheckpoint(filename="x"))
    with pytest.raises(RecipeError):
        check(EarlyStopping(monitor="step"))


def test_own_callbacks_may_log_anything() -> None:
    class Own(L.Callback):
        pass

    check(EarlyStopping(monitor="mine"), Own())
    trainer = L.Trainer(accelerator="cpu", logger=True, callbacks=[LearningRateMonitor()])
    trainer.callbacks.append(EarlyStopping(monitor="lr-AdamW"))  # pyright: ignore
    check_monitors(trainer, L.LightningModule(), [], [])
