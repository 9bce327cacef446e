from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from torch import nn

from unlearnkit.cli.recipe import optimizers
from unlearnkit.cli.recipe.optimizers import optimizer_path
from unlearnkit.errors import RecipeError

PATHS = {
    "AdamW": "torch.optim.AdamW",
    "sgd": "torch.optim.SGD",
    "adamw_8bit": "bitsandbytes.optim.AdamW8bit",
    "AdamW8bit": "bitsandbytes.optim.AdamW8bit",
    "adamw_bnb_8bit": "bitsandbytes.optim.AdamW8bit",
    "paged_adamw": "bitsandbytes.optim.PagedAdamW",
    "paged_adamw_32bit": "bitsandbytes.optim.PagedAdamW",
    "paged_adamw_8bit": "bitsandbytes.optim.PagedAdamW8bit",
    "lion_8bit": "bitsandbytes.optim.Lion8bit",
    "paged_ademamix_8bit": "bitsandbytes.optim.PagedAdEMAMix8bit",
    "torchao_adamw_8bit": "torchao.optim.AdamW8bit",
    "torchao_adamw_fp8": "torchao.optim.AdamWFp8",
    "adamw_torch_4bit": "torchao.optim.AdamW4bit",
    "my_module.Mine": "my_module.Mine",
}
SHORT = [
    optimizers._short(module, cls)
    for module, classes in optimizers._CLASSES.items()
    for cls in classes
]


def test_names_are_those_that_users_know(monkeypatch):
    monkeypatch.setattr(optimizers, "find_spec", lambda _: object())
    assert {name: optimizer_path(name) for name in PATHS} == PATHS
    assert optimizer_path(None) == "torch.optim.AdamW"


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("paged_adamw_8bit", "bitsandbytes", "quantized"),
        ("bitsandbytes.optim.LAMB8bit", "bitsandbytes", "quantized"),
        ("torchao_adamw_4bit", "torchao", "quantize"),
    ],
)
def test_a_missing_package_names_its_extra(monkeypatch, name, package, extra):
    monkeypatch.setattr(optimizers, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=f"{name} needs the package {package}") as caught:
        optimizer_path(name)
    assert caught.value.hint == f"pip install 'unlearnkit[{extra}]'"


def test_torchao_without_a_compiler_is_refused_where_others_go_on(monkeypatch):
    monkeypatch.setattr(optimizers, "find_spec", lambda _: object())
    monkeypatch.setattr(optimizers.shutil, "which", lambda _: None)
    with pytest.raises(RecipeError, match="needs a C\\+\\+ compiler"):
        optimizer_path("torchao_adamw_8bit")
    assert optimizer_path("adamw_8bit") == PATHS["adamw_8bit"]


def test_a_misspelled_name_is_told_with_the_one_that_is_meant():
    with pytest.raises(RecipeError, match="Did you mean 'paged_adamw_8bit'"):
        optimizer_path("paged_adamw_8bits")


def _one_step(name: str) -> tuple[torch.Tensor, torch.optim.Optimizer]:
    """A weight of ones after a step at learning rate 0.1 on gradients of one sign a half."""
    module, _, cls = optimizer_path(name).rpartition(".")
    weight = nn.Parameter(torch.ones(64, 64))
    weight.grad = torch.ones(64, 64)
    weight.grad[:32] = -1.0
    optimizer = getattr(importlib.import_module(module), cls)([weight], lr=0.1, weight_decay=0.0)
    optimizer.step()
    return weight.detach(), optimizer


# The first step of Adam and Lion is the learning rate times the sign of the gradient.
STEPPED = torch.cat([torch.full((32, 64), 1.1), torch.full((32, 64), 0.9)])


@pytest.mark.extra("bitsandbytes")
@pytest.mark.parametrize("name", ["adamw_8bit", "paged_adamw_8bit", "paged_adamw", "lion_8bit"])
def test_a_step_of_bitsandbytes(name):
    weight, optimizer = _one_step(name)
    torch.testing.assert_close(weight, STEPPED, atol=1e-5, rtol=0)
    moment = next(iter(optimizer.state.values()))["state1"]
    assert moment.dtype == (torch.uint8 if "8bit" in name else torch.float32)


@pytest.mark.extra("torchao")
def test_a_step_of_torchao_whose_state_is_loaded_as_weights_only(tmp_path: Path):
    weight, optimizer = _one_step("torchao_adamw_8bit")
    torch.testing.assert_close(weight, STEPPED, atol=1e-5, rtol=0)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.testing.assert_close(
        loaded["state"][0]["exp_avg"].dequantize(),
        next(iter(optimizer.state.values()))["exp_avg"].dequantize(),
    )
    assert loaded["state"][0]["exp_avg"].codes.dtype == torch.uint8


@pytest.mark.extra("bitsandbytes")
@pytest.mark.extra("torchao")
@pytest.mark.parametrize("name", SHORT)
def test_every_name_is_a_class_of_its_package(name):
    module, _, cls = optimizer_path(name).rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), cls), torch.optim.Optimizer)
