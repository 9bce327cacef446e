"""A program's run is held to its checkpoint too."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, StochasticWeightAveraging

from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import LoraConfig
from unlearnkit.runs.resume.check import checkpoint_of

STEPS = partial(ModelCheckpoint, every_n_train_steps=1, save_top_k=-1)


def test_another_rate_is_refused_and_another_folder_is_not(start, tmp_path) -> None:
    start(STEPS(), max_steps=2)
    (file,) = tmp_path.rglob("*step=1.ckpt")
    other = partial(torch.optim.AdamW, lr=0.5)
    with pytest.raises(RecipeError, match=r"model\.optimizer\.lr: 0\.01 is now 0\.5"):
        start(max_steps=2, ckpt_path=str(file), optimizer=other)
    with pytest.raises(RecipeError, match=r"trainer\.callbacks: not there is now"):
        start(StochasticWeightAveraging(0.1), max_steps=2, ckpt_path=str(file))
    start(max_steps=2, ckpt_path=str(file), run_dir=tmp_path / "other")


def test_weights_of_another_shape_are_refused_even_where_changes_are_accepted(
    start, tmp_path
) -> None:
    def lora(r: int) -> LoraConfig:
        return LoraConfig(r=r, target_modules=["q_proj"])

    start(STEPS(), max_steps=1, lora=lora(2))
    (file,) = tmp_path.rglob("*.ckpt")
    accept = {"resume_with_changes": True}
    with pytest.raises(RecipeError, match=r"trained weights of other shapes, such as .*\[2, 16\]"):
        start(max_steps=1, lora=lora(3), ckpt_path=str(file), measured=accept)


def test_a_checkpoint_is_looked_for_before_anything_is_made(tmp_path) -> None:
    assert checkpoint_of(None, tmp_path) is None
    assert checkpoint_of("s3://a/b.ckpt", tmp_path) == "s3://a/b.ckpt"
    with pytest.raises(RecipeError, match="there is no file"):
        checkpoint_of(str(tmp_path / "none.ckpt"), tmp_path)
