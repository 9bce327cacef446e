"""A program's run is held to its checkpoint too."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, StochasticWeightAveraging
from processes import run_ranks

from unlearnkit.engine.training.salun import Saliency
from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import LoraConfig
from unlearnkit.robust import SAM
from unlearnkit.runs.resume.check import SameCheckpoint, checkpoint_of
from unlearnkit.runs.trainer import known_to_other_ranks

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


def _meet(folder: str) -> None:
    """One of two ranks; each finds a checkpoint of its own, with the same content and another."""
    rank = os.environ["LOCAL_RANK"]
    torch.distributed.init_process_group("gloo", rank=int(rank), world_size=2)
    for content in (b"same", rank.encode()):
        path = Path(folder, f"{rank}.ckpt")
        path.write_bytes(content)
        try:
            SameCheckpoint(str(path)).setup(SimpleNamespace(world_size=2), None, "fit")
            print("taken")
        except RecipeError as error:
            print(error.message)


def test_ranks_that_found_different_checkpoints_are_refused_on_all(tmp_path) -> None:
    for done in run_ranks(2, _meet, str(tmp_path)):
        assert done.stdout.splitlines() == [
            "taken",
            "--ckpt_path: the ranks found different checkpoints:",
            f"rank 0: {tmp_path}/0.ckpt",
            f"rank 1: {tmp_path}/1.ckpt",
        ], done.stderr


def test_other_ranks_take_the_checkpoint_of_the_first(tmp_path, monkeypatch) -> None:
    torch.save({}, tmp_path / "new.ckpt")
    assert checkpoint_of("last", tmp_path) == str(tmp_path / "new.ckpt")
    with known_to_other_ranks(tmp_path, "old.ckpt"):
        assert checkpoint_of("last", tmp_path) == "old.ckpt"
    assert checkpoint_of("last", tmp_path) == str(tmp_path / "new.ckpt")


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ({"robust": SAM(0.01)}, {"robust": SAM(0.02)}, r"model\.robust\.rho: 0\.01 is now 0\.02"),
        ({}, {"robust": SAM()}, r"model\.robust: not there is now SAM"),
        ({"saliency": Saliency(0.5)}, {"saliency": Saliency(0.25)}, r"saliency\.fraction: 0\.5 is"),
        (
            {"lora": LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"])},
            {"lora": LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj"])},
            r"model\.lora\.lora_alpha: 4 is now 8",
        ),
    ],
)
def test_what_decides_of_the_gradient_is_held_too(start, tmp_path, then, now, told) -> None:
    start(STEPS(), max_steps=1, **then)
    (file,) = tmp_path.rglob("*.ckpt")
    with pytest.raises(RecipeError, match=told):
        start(max_steps=1, ckpt_path=str(file), **now)
