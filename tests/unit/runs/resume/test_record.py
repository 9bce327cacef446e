from __future__ import annotations

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from unlearnkit.runs.resume.record import MadeWith


def test_a_checkpoint_holds_what_it_was_made_with(start, tmp_path) -> None:
    start(ModelCheckpoint(every_n_train_steps=1), max_steps=1)
    (file,) = tmp_path.rglob("*.ckpt")
    found = MadeWith.in_checkpoint(torch.load(file, weights_only=True))
    assert found is not None
    assert found.settings["model.optimizer"] == "AdamW"
    assert found.settings["model.optimizer.lr"] == 1e-2
    assert found.settings["model.objectives.forget"] == "NPO"
    assert found.data["forget"]["rows"] == 3
    assert found.versions["torch"] == torch.__version__
    assert found.steps == 1


def test_an_older_or_unknown_record_is_none() -> None:
    assert MadeWith.in_checkpoint({}) is None
    assert MadeWith.in_checkpoint({"made_with": {"recipe": ""}}) is None
