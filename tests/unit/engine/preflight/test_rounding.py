"""The warning of steps that round away."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
import yaml

from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.engine.preflight import rounding
from unlearnkit.engine.preflight.rounding import tell_rounding
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.models.loaded import LoadedModel


@pytest.fixture
def told(caplog):
    """What is told of weights, a precision and an optimizer."""

    def of(
        dtype="bfloat16",
        precision="32-true",
        optimizer=torch.optim.AdamW,
        lr=1e-6,
        lora=None,
        text=None,
    ) -> list[str]:
        rounding._say.cache_clear()
        caplog.clear()
        made = partial(optimizer, lr=lr)
        base = BaseModel("m", dtype=dtype)  # pyright: ignore
        module = SimpleNamespace(base=base, lora=lora, make_optimizer=made)
        tell_rounding(module, SimpleNamespace(precision=precision), text)  # pyright: ignore
        return [record.getMessage() for record in caplog.records]

    return of


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed", "32-true"])
def test_it_names_rate_and_remedy_in_one_line(told, precision) -> None:
    (line,) = told(precision=precision, lr=2e-6)
    assert line.startswith("weights in bfloat16: a step of model.optimizer.lr 2e-06 rounds away")
    # 2^9 times the rate, and the size that is taken for a typical one.
    assert "on each above 0.001, and many are about 0.02" in line
    assert "model.base.dtype: float32 with trainer.precision: bf16-mixed" in line
    assert "\n" not in line


def test_what_it_says_is_so(told) -> None:
    """A weight of the size of the limit keeps a step, and one of a few times that does not."""
    rate = 1e-6
    assert told(lr=rate)
    for size, kept in ((rate * 2**7, True), (rate * 2**10, False)):
        weight = torch.full((64,), size, dtype=torch.bfloat16, requires_grad=True)
        weight.grad = torch.ones_like(weight)
        torch.optim.AdamW([weight], lr=rate, weight_decay=0.0).step()
        assert bool((weight.detach() != torch.full_like(weight, size)).any()) is kept


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "float32"},
        {"dtype": "float32", "precision": "bf16-mixed"},
        {"lora": object()},
        {"lr": 5e-5},
        {"lr": 0.0},
        {"optimizer": torch.optim.SGD},
        {"dtype": "float16", "lr": 1e-5},
        {"text": SimpleNamespace(initializer_range=1e-4)},
        {"precision": "64-true"},
    ],
)
def test_where_steps_are_kept_nothing_is_told(told, settings) -> None:
    assert told(**settings) == []


def test_a_true_precision_is_that_of_all_weights(told) -> None:
    assert "float16" in told(dtype="float32", precision="16-true")[0]
    assert told(dtype="auto", text=SimpleNamespace(dtype=torch.bfloat16))
    assert told(dtype="auto", text=SimpleNamespace(dtype=torch.float32)) == []


class OwnAdam(torch.optim.AdamW):
    """An optimizer that calls its rate otherwise."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr)
        for group in self.param_groups:
            group["rate"] = group.pop("lr")


def test_an_optimizer_without_a_rate_of_that_name_stops_nothing(told) -> None:
    assert told(optimizer=OwnAdam) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_model_in_memory_is_trained_as_it_is(caplog, dtype) -> None:
    rounding._say.cache_clear()
    base = LoadedModel(load_model("tiny").to(dtype))
    made = partial(torch.optim.AdamW, lr=1e-6)
    module = SimpleNamespace(base=base, lora=None, make_optimizer=made)
    trainer = SimpleNamespace(precision="32-true")
    tell_rounding(module, trainer, base.model.config)  # pyright: ignore
    assert len(caplog.records) == (dtype is torch.bfloat16)


def test_it_is_told_once(caplog) -> None:
    rounding._say.cache_clear()
    module = SimpleNamespace(
        base=BaseModel("m", dtype="bfloat16"),
        lora=None,
        make_optimizer=partial(torch.optim.AdamW, lr=1e-6),
    )
    for _ in range(2):
        tell_rounding(module, SimpleNamespace(precision="bf16-true"), None)  # pyright: ignore
    assert len(caplog.records) == 1


def test_the_recipe_of_rwku_steps_in_float32(told) -> None:
    recipe = yaml.safe_load(shipped()["published/rwku"].read_text("utf-8"))
    rates = {"npo": recipe["model"]["optimizer"]["lr"]}
    for name, method in recipe["choices"]["method"].items():
        rates[name] = method.get("model.optimizer.lr", rates["npo"])
    assert rates == {"npo": 2e-6, "gradient_ascent": 6e-8, "refusal": 4e-7}
    base, precision = recipe["model"]["base"], recipe["trainer"]["precision"]
    for lr in rates.values():
        assert told(dtype=base["dtype"], precision=precision, lr=lr) == []
        assert told(dtype="bfloat16", precision="bf16-true", lr=lr)  # as it was
