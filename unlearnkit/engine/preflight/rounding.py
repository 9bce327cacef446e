"""Steps that round away in half-precision weights."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import lightning as L
import torch
from torch import nn

from unlearnkit.engine.training.slices import TRUE
from unlearnkit.models.base import as_base_model
from unlearnkit.models.loaded import LoadedModel

logger = logging.getLogger(__name__)
_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_AS_LARGE = ("adam", "ademamix", "lion")
"""Optimizers whose steps are about as large as the learning rate."""
_TYPICAL = 0.02
"""Size of a weight, where the model's config has no ``initializer_range``."""


def tell_rounding(module: Any, trainer: L.Trainer, text: Any) -> None:
    """Warns, once, where most steps of the optimizer change no weight.

    In bfloat16 a number below 2^-9 of a weight (0.2 %) is added to it without effect, in float16
    one below 2^-12; a step of Adam or Lion is about as large as the learning rate. An adapter is
    not looked at: half of it begins at zero, where any step is kept.

    Args:
        module: The `UnlearningModule` that is to be trained.
        trainer: Its trainer, whose precision may be that of all weights.
        text: The config of the language model.

    Example:
        >>> from types import SimpleNamespace
        >>> adam = lambda parameters: torch.optim.AdamW(parameters, lr=1e-6)
        >>> module = SimpleNamespace(base="tiny", lora=None, make_optimizer=adam)
        >>> trainer = L.Trainer(accelerator="cpu", logger=False, barebones=True)
        >>> tell_rounding(module, trainer, None)  # the weights are in float32
    """
    if module.lora is not None:
        return
    dtype = _trained_in(module, trainer, text)
    rate = _step(module)
    if dtype is None or not rate:  # a rate of 0 is kept in no type
        return
    largest = rate / (torch.finfo(dtype).eps / 4)
    typical = getattr(text, "initializer_range", None) or _TYPICAL
    if largest < typical:
        name = str(dtype).removeprefix("torch.")
        _say(
            f"weights in {name}: a step of model.optimizer.lr {rate:g} rounds away on each above "
            f"{largest:.1g}, and many are about {typical:g}; model.base.dtype: float32 with "
            "trainer.precision: bf16-mixed keeps it, in twice the memory"
        )


def _trained_in(module: Any, trainer: L.Trainer, text: Any) -> torch.dtype | None:
    """The type of the weights while they are trained, if it is a half one."""
    true = TRUE.get(str(trainer.precision))
    if true is not None:
        return true if true in _HALF.values() else None
    base = as_base_model(module.base)
    stored = base.model if isinstance(base, LoadedModel) else text
    if base.dtype != "auto" and stored is text:
        return _HALF.get(base.dtype)
    return _HALF.get(str(getattr(stored, "dtype", None)).removeprefix("torch."))


def _step(module: Any) -> float | None:
    """The size of a step, of optimizers whose steps have the size of the learning rate."""
    optimizer = module.make_optimizer([nn.Parameter(torch.zeros(1))])
    name = type(optimizer).__name__.lower()
    rounds_at_random = getattr(optimizer, "bf16_stochastic_round", False)
    if rounds_at_random or not any(each in name for each in _AS_LARGE):
        return None
    rate = optimizer.param_groups[0].get("lr")  # an own class may call it otherwise
    return None if rate is None else float(rate)


@cache
def _say(text: str) -> None:
    logger.warning("%s", text)
