from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar

from unlearnkit.callbacks.progress import EpochBar, use_epoch_bar


class OwnBar(RichProgressBar):
    pass


def trainer(bar: RichProgressBar, **options: int) -> L.Trainer:
    return L.Trainer(accelerator="cpu", logger=False, callbacks=[bar], **options)  # pyright: ignore


def test_lightnings_bar_is_replaced_with_its_settings_and_an_own_one_stays() -> None:
    made = trainer(RichProgressBar(refresh_rate=7))
    use_epoch_bar(made)
    (bar,) = (each for each in made.callbacks if isinstance(each, RichProgressBar))
    assert isinstance(bar, EpochBar)
    assert bar.refresh_rate == 7
    own = OwnBar()
    made = trainer(own)
    use_epoch_bar(made)
    assert own in made.callbacks


def test_the_last_epoch_is_shown_only_where_it_is_known() -> None:
    bar = EpochBar()
    bar._trainer = trainer(bar, max_epochs=-1)
    assert bar._get_train_description(3).strip() == "Epoch 3"
    bar._trainer = trainer(EpochBar(), max_epochs=5)
    assert bar._get_train_description(3).strip() == "Epoch 3/4"
