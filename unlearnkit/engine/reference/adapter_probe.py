"""Checks that a model without its adapter equals the starting model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from unlearnkit.engine.step.forward import head_inputs
from unlearnkit.engine.step.probe import ROUNDING, made_up_rows, relative_difference
from unlearnkit.errors import RecipeError
from unlearnkit.models.load import add_adapter
from unlearnkit.models.modes import evaluating


def add_restorable_adapter(model: PreTrainedModel, lora: LoraConfig) -> PeftModel:
    """`add_adapter` of an adapter that can be switched off wholly; that is found by running it.

    Raises:
        RecipeError: If the model with the adapter off depends on what is trained.
    """
    before = outputs_of(model)
    policy = add_adapter(model, lora)
    refuse_changed_base(policy, before)
    return policy


@torch.no_grad()
def outputs_of(model: nn.Module) -> Tensor:
    """``[N, V]`` logits of made-up rows, in eval mode."""
    batch = made_up_rows(model, next(model.parameters()).device)
    head: Any = model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
    with evaluating(model):
        return head(head_inputs(model, head, batch)[batch.source])


def refuse_changed_base(policy: PeftModel, before: Tensor) -> None:
    """Refuses an adapter that cannot be switched off wholly, found by changing all it trains.

    Args:
        policy: The model with its new adapter; its weights are put back bit for bit.
        before: `outputs_of` the model before the adapter was put on.

    Raises:
        RecipeError: With weights of the base that are trained, if there are any.
    """
    with policy.disable_adapter(), _all_trained_weights_changed(policy):
        found = outputs_of(policy)
    difference = relative_difference(found, before)
    if difference <= ROUNDING.get(before.dtype, 2e-5):
        return
    outside = [
        name
        for name, each in policy.named_parameters()
        if each.requires_grad and not any(prefix in name for prefix in _PARTS)
    ]
    named = f"; it trains {', '.join(outside[:3])}" if outside else ""
    raise RecipeError(
        "model.reference: 'adapter_off': with the adapter of model.lora off the model is not what "
        f"it was at the start (its outputs differ by {difference:.2g} of their size{named})",
        hint="Set model.reference: frozen.",
    )


def refuse_trained_base(policy: nn.Module, kind: str | None) -> None:
    """The same of a sharded policy whose reference is itself without its adapter.

    Its adapter is new, so that without it the policy is what it was.

    Raises:
        RecipeError: With weights of the base that are trained, if there are any.
    """
    if kind == "adapter_off" and isinstance(policy, PeftModel):
        with policy.disable_adapter():
            before = outputs_of(policy)
        refuse_changed_base(policy, before)


_PARTS = (".lora_", ".modules_to_save.", ".token_adapter.")
"""What names of an adapter's own weights have in them."""


@contextmanager
def _all_trained_weights_changed(model: nn.Module) -> Iterator[None]:
    with torch.no_grad():
        kept = [(p, p.detach().clone()) for p in model.parameters() if p.requires_grad]
        try:
            for parameter, _ in kept:
                parameter.add_(1.0)
            yield
        finally:
            for parameter, value in kept:
                parameter.copy_(value)
