"""The attention kernel follows from device, dtype and config, and is probed before it serves."""

from __future__ import annotations

from typing import get_args

import lightning as L
import pytest
import torch
from architectures import tiny_model
from families import tiny_family

from unit.engine.step import varlen_on_cpu
from unlearnkit.engine.step import attention_choice
from unlearnkit.engine.step.attention_choice import (
    PREFERENCE,
    AttentionChoice,
    AttentionNeeds,
    choose_attention,
    observed_needs,
    probe_kernel,
    refusals,
    where_it_runs,
)
from unlearnkit.engine.step.attention_kernels import KERNELS, KernelName
from unlearnkit.errors import RecipeError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PLAIN = AttentionNeeds(64, 64, softcap=False, dropout=False)


def _first(device: torch.device, dtype: torch.dtype, needs: AttentionNeeds) -> str:
    found = refusals(device, dtype, needs)
    return next(name for name in PREFERENCE if not found[name])


@pytest.mark.parametrize(
    ("device", "dtype", "needs", "right"),
    [
        (CPU, torch.float32, PLAIN, "loop"),
        (CPU, torch.bfloat16, PLAIN, "loop"),
        (CUDA, torch.bfloat16, PLAIN, "varlen"),
        (CUDA, torch.float32, PLAIN, "flex"),
        (CUDA, torch.bfloat16, PLAIN._replace(softcap=True), "flex"),  # without flash-attn
        (CUDA, torch.bfloat16, PLAIN._replace(head_size=20, value_size=20), "flex"),
        (CUDA, torch.bfloat16, PLAIN._replace(head_size=192), "flex"),  # latent attention
        (CUDA, torch.float64, PLAIN, "loop"),
        (CUDA, torch.float32, PLAIN._replace(dropout=True), "loop"),
    ],
)
def test_the_first_kernel_that_serves(device, dtype, needs, right, monkeypatch) -> None:
    monkeypatch.setattr(attention_choice, "find_spec", lambda _: None)
    assert _first(device, dtype, needs) == right


def test_flash_attn_serves_soft_caps_and_dropout_where_it_is_installed(monkeypatch) -> None:
    monkeypatch.setattr(attention_choice, "find_spec", lambda _: object())
    for needs in (PLAIN._replace(softcap=True), PLAIN._replace(dropout=True)):
        assert _first(CUDA, torch.bfloat16, needs) == "flash_attn"


@pytest.mark.parametrize(
    ("family", "right"),
    [
        ("llama", {(8, 8, False, False)}),
        ("gemma2", {(8, 8, True, False)}),
        ("gpt2", {(8, 8, False, True)}),  # its config has dropout of attention
    ],
)
def test_needs_are_observed_in_the_decoder_blocks(family, right) -> None:
    model = tiny_model(family)
    assert observed_needs(model) == right
    assert not model.training


def test_latent_attention_has_values_of_another_size() -> None:
    assert observed_needs(tiny_family("deepseek_v3")) == {(16, 8, False, False)}


def test_all_layers_count() -> None:
    """Those of Gemma 4 differ, and its config names no size for all."""
    assert {each.head_size for each in observed_needs(tiny_family("gemma4_text"))} == {8, 512}


@pytest.mark.parametrize(
    ("precision", "right"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
        ("bf16-true", torch.bfloat16),
        ("16-true", torch.float16),
        ("64-true", torch.float64),
    ],
)
def test_queries_have_the_type_of_the_trainers_precision(precision, right) -> None:
    """Lightning converts weights only after the model was given."""
    trainer = L.Trainer(accelerator="cpu", precision=precision, logger=False)
    assert where_it_runs(tiny_model("llama"), trainer) == (CPU, right)


def test_every_kernel_has_a_name() -> None:
    assert set(KERNELS) == set(PREFERENCE) == set(get_args(KernelName))
    assert {"auto", *KERNELS} == set(get_args(AttentionChoice))


def test_a_kernel_that_cannot_serve_is_refused_with_the_reason() -> None:
    model = tiny_model("llama")
    assert choose_attention("loop", CPU, torch.float32, model) == ("loop", "as asked")
    name, reason = choose_attention("auto", CPU, torch.float32, model)
    assert name == "loop"
    assert reason == "the others run on a GPU, not cpu"
    with pytest.raises(RecipeError, match=r"model\.attention: varlen cannot serve here: it runs"):
        choose_attention("varlen", CPU, torch.float32, model)


def test_the_probe_finds_a_kernel_that_differs_or_does_not_run(monkeypatch) -> None:
    varlen_on_cpu.register()
    assert probe_kernel("varlen", CPU, torch.bfloat16, PLAIN) is None
    right = KERNELS["varlen"]

    def without_window(*args, window, **options):
        return right(*args, window=None, **options)

    def broken(*_, **__):
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(attention_choice, "KERNELS", KERNELS | {"varlen": without_window})
    assert "differs from the loop" in (probe_kernel("varlen", CPU, torch.bfloat16, PLAIN) or "")
    monkeypatch.setattr(attention_choice, "KERNELS", KERNELS | {"varlen": broken})
    found = probe_kernel("varlen", CPU, torch.bfloat16, PLAIN)
    assert found == "it does not run (RuntimeError: no such operator)"
