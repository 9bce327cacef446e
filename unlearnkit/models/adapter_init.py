"""Initialises adapters from the weights of the base model.

PiSSA, OLoRA and FILA put ``s·B₀A₀`` into the adapter and ``W − s·B₀A₀`` into the base. Here the
base keeps ``W``, and ``s·B₀A₀`` is subtracted beside it: ``y = Wx + s·(BA − B₀A₀)x``. That is the
same function with the same gradient. It begins as the model bit for bit in any dtype, the model
with the adapter off is the model as it was, and no second set of weights has to be saved.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear, LoraLayer, LoraVariant
from torch import Tensor, nn
from torch.nn import functional as F

from unlearnkit.errors import RecipeError

ADAPTER = "default"


class Start(nn.Module):
    """The factors that an adapter began with. They are in checkpoints, and never trained.

    Args:
        a: ``[r, in]``.
        b: ``[out, r]``.
    """

    a: Tensor
    b: Tensor

    def __init__(self, a: Tensor, b: Tensor) -> None:
        super().__init__()
        self.register_buffer("a", a.detach().clone())
        self.register_buffer("b", b.detach().clone())


class FromStart(LoraVariant):
    """``W + s·(BA − B₀A₀)`` in place of ``W + s·BA``."""

    @staticmethod
    def forward(  # noqa: D102 PEFT's
        module: Any, active_adapter: str, x: Tensor, result: Tensor, **kwargs: Any
    ) -> Tensor:
        a, b = module.lora_A[active_adapter], module.lora_B[active_adapter]
        start = module.start
        grown = b(a(module.lora_dropout[active_adapter](x)))
        began = F.linear(F.linear(x, start.a), start.b)
        return result + (grown - began) * module.scaling[active_adapter]

    @staticmethod
    def merge_safe(module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:  # noqa: D102
        return orig_weight + _moved(module, active_adapter).to(orig_weight.dtype)

    @staticmethod
    def merge_unsafe(module: Any, active_adapter: str, orig_weight: Tensor) -> None:  # noqa: D102
        orig_weight.data += _moved(module, active_adapter).to(orig_weight.dtype)

    @staticmethod
    def unmerge(module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:  # noqa: D102
        return orig_weight - _moved(module, active_adapter).to(orig_weight.dtype)


def adapted(policy: nn.Module) -> Iterator[tuple[str, Any]]:
    """The layers with an adapter, by name."""
    for name, module in policy.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def weight_of(layer: Any) -> Tensor:
    """The base's weight under an adapter, ``[out, in]`` whatever way it is stored."""
    weight = layer.get_base_layer().weight.detach()
    return weight.T if layer.fan_in_fan_out else weight


def begin_with(layer: Any, a: Tensor, b: Tensor) -> None:
    """Puts factors into an adapter and subtracts them beside it; the output stays the same.

    Raises:
        RecipeError: If the layer is not a linear one.
    """
    refuse_other_layers(layer)
    for linear, factor in ((layer.lora_A[ADAPTER], a), (layer.lora_B[ADAPTER], b)):
        linear.weight.data.copy_(factor)
    layer.start = Start(layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight)
    layer.lora_variant[ADAPTER] = FromStart()


def begin_as_in_peft(policy: PeftModel, how: str, iterations: int | None = None) -> None:
    """PiSSA or OLoRA by PEFT's own routine, layer by layer; the base's weights are put back.

    Args:
        policy: With a new adapter.
        how: ``pissa`` or ``olora``.
        iterations: Power iterations of PiSSA's randomised decomposition; by default it is exact.

    Raises:
        RecipeError: If a layer is not a linear one.
    """
    for _, layer in adapted(policy):
        refuse_other_layers(layer)
        base = layer.get_base_layer()
        kept = base.weight.data.clone()
        if how == "pissa":
            layer.pissa_init(ADAPTER, how if iterations is None else f"pissa_niter_{iterations}")
        else:
            layer.olora_init(ADAPTER)
        base.weight.data = kept
        a, b = layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]
        for linear in (a, b):  # PEFT leaves them on the type and device of its own arithmetic
            linear.weight.data = linear.weight.data.to(kept.device).contiguous()
        begin_with(layer, a.weight.data, b.weight.data)


def refuse_other_layers(layer: Any) -> None:
    """Raises unless an adapted layer is a linear one.

    Raises:
        RecipeError: With the layer's class.
    """
    if not isinstance(layer, Linear):
        raise RecipeError(
            f"model.lora.init_lora_weights: a {type(layer.get_base_layer()).__name__} is adapted, "
            "and only linear layers can begin with a part of their weights",
            hint="Set model.lora.target_modules: all-linear, or init_lora_weights: true.",
        )


def save_policy(model: Any, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
    """Writes a model or an adapter as transformers or PEFT do.

    An adapter with a start is written as the plain adapter of twice the rank that it equals,
    ``s·[B, −B₀][A; A₀]``: it belongs to the base as it is.

    Args:
        model: A transformers model, or a PEFT model around one.
        folder: Where to.
        state: All weights of a model that holds only its own shard of them.
    """
    # transformers empties the dict that it is given.
    given = None if state is None else dict(state)
    began = {n: layer for n, layer in adapted(model) if hasattr(layer, "start")}
    if not began:
        model.save_pretrained(folder, **({} if given is None else {"state_dict": given}))
        return
    whole = model.state_dict() if given is None else given
    for name, layer in began.items():
        a, b = (f"{name}.lora_{each}.{ADAPTER}.weight" for each in "AB")
        whole[a] = torch.cat([whole[a], layer.start.a.to(whole[a].device)])
        whole[b] = torch.cat([whole[b], -layer.start.b.to(whole[b].device)], dim=1)
    own = model.peft_config[ADAPTER]
    model.peft_config[ADAPTER] = _twice_the_rank(own)
    try:
        model.save_pretrained(folder, state_dict=whole)
    finally:
        model.peft_config[ADAPTER] = own


def _twice_the_rank(config: Any) -> Any:
    found = copy.deepcopy(config)
    # Scaling stays as it is: alpha / r, or alpha / sqrt(r).
    factor = 2**0.5 if config.use_rslora else 2
    found.r, found.lora_alpha = 2 * config.r, factor * config.lora_alpha
    found.rank_pattern = {k: 2 * r for k, r in (config.rank_pattern or {}).items()}
    found.alpha_pattern = {k: factor * v for k, v in (config.alpha_pattern or {}).items()}
    return found


def _moved(module: Any, adapter: str) -> Tensor:
    began = module.start.b @ module.start.a * module.scaling[adapter]
    return module.get_delta_weight(adapter) - (began.T if module.fan_in_fan_out else began)
