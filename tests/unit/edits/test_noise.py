"""Weights mixed with fresh ones: closed forms, and refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from rounding import margin
from safetensors.torch import load_file
from stub import stub_model, stub_tokenizer
from transformers import AutoModelForCausalLM

from unlearnkit.edits import Noise
from unlearnkit.edits.output import RECORD
from unlearnkit.errors import UserError


def _saved(folder: Path, dtype=torch.float32) -> Path:
    stub_model({"random_init": 1}).to(dtype).save_pretrained(folder)
    stub_tokenizer().save_pretrained(folder)
    return folder


def _mixed(model: Path, out: Path, **options) -> dict[str, torch.Tensor]:
    return load_file(Noise(str(model), **options).write(out) / "model.safetensors")


def test_without_noise_weights_are_shrunk_and_alpha_zero_changes_nothing(tmp_path) -> None:
    model = _saved(tmp_path / "model")
    given = load_file(model / "model.safetensors")
    same = _mixed(model, tmp_path / "same", alpha=0.0)
    shrunk = _mixed(model, tmp_path / "shrunk", alpha=0.25, beta=0.0)
    for name, value in given.items():
        assert same[name].equal(value)
        assert shrunk[name].allclose(0.75 * value, rtol=0, atol=margin(size=1.0))


def test_a_mix_is_that_of_the_weights_and_of_the_whole_noise(tmp_path) -> None:
    model = _saved(tmp_path / "model")
    given = load_file(model / "model.safetensors")
    noise = _mixed(model, tmp_path / "noise", alpha=1.0, beta=1.0)
    mixed = _mixed(model, tmp_path / "mixed", alpha=0.4, beta=0.5)
    other = _mixed(model, tmp_path / "other", alpha=0.4, beta=0.5, seed=1)
    for name, value in given.items():
        expected = 0.6 * value + 0.4 * 0.5 * noise[name]
        assert mixed[name].allclose(expected, rtol=0, atol=margin(size=1.0))
        if value.dim() == 1:
            assert noise[name].eq(0).all()
        else:
            assert not other[name].equal(mixed[name])
    # Uniform to sqrt(6 / (rows + columns)), so a variance of a third of its square.
    matrix = noise["model.layers.0.mlp.up_proj.weight"]  # 32 x 16
    bound = math.sqrt(6 / 48)
    assert 0.95 * bound < matrix.abs().max() <= bound
    assert abs(matrix.var().item() / (bound**2 / 3) - 1) < 0.15


def test_half_precision_is_kept_and_transformers_loads_the_model(tmp_path) -> None:
    model = _saved(tmp_path / "model", torch.bfloat16)
    out = Noise(str(model), alpha=0.5).write(tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    assert loaded.dtype == torch.bfloat16
    record = json.loads((out / RECORD).read_text())
    assert record["edit"] == "noise"
    assert record["alpha"] == 0.5


@pytest.mark.parametrize("options", [{"alpha": 1.5}, {"alpha": -0.1}, {"beta": float("nan")}])
def test_shares_out_of_range_are_refused(options) -> None:
    with pytest.raises(UserError, match=r"expected 0 to 1, found"):
        Noise("tiny", **options)


def test_a_model_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(UserError):
        Noise(str(tmp_path / "none")).write(tmp_path / "out")
    assert not (tmp_path / "out").exists()
