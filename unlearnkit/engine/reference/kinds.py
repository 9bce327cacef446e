"""The reference model: the model as it was at the start."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from typing import Any, Literal, Protocol

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from unlearnkit.data.pack import Batch
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.views import TokenSource
from unlearnkit.models.adapter import changes_base
from unlearnkit.models.modes import evaluating

ReferenceKind = Literal["auto", "adapter_off", "frozen", "cached"]


class Reference(Protocol):
    """Gives the reference's values for a batch, always in eval mode and without gradient."""

    def forward(self, batch: Batch, layers: Collection[int] = ()) -> TokenSource:
        """One pass over the batch."""
        ...


class AdapterOff:
    """The policy with its new adapter switched off; costs no memory.

    Right only while the base weights stay as they are, as `refuse_changed_base` finds out.
    """

    def __init__(self, policy: PeftModel, head: Head) -> None:
        self._policy = policy
        # Each switch walks over all modules, and the head is called once a chunk.
        self._head = head.without_adapter()

    @torch.no_grad()
    def forward(self, batch: Batch, layers: Collection[int] = ()) -> ForwardPass:
        """One pass with the adapter off; the policy's own modes are put back after it."""
        with evaluating(self._policy), self._policy.disable_adapter():
            return ForwardPass(self._policy, self._head, batch, layers=layers)


class Frozen(nn.Module):
    """A copy of the model, never trained. It stays in eval mode whatever is asked of it.

    Args:
        model: The copy.
        dtype: Type of its weights, kept whatever `trainer.precision` makes of the policy's; by
            default they are as the policy's.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.model.eval()
        if dtype is not None:
            nn.Module.to(self.model, dtype)
        self._head = Head(model)
        self._keeps_dtype = dtype is not None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Frozen:
        """What ``to`` and its like end in."""

        def moved(tensor: Tensor) -> Tensor:
            found = fn(tensor)
            return found if found.dtype == tensor.dtype else tensor.to(found.device)

        return super()._apply(moved if self._keeps_dtype else fn, recurse)

    def train(self, mode: bool = True) -> Frozen:
        """Ignored: dropout in a reference would make its values differ from step to step."""
        return self

    @torch.no_grad()
    def forward(self, batch: Batch, layers: Collection[int] = ()) -> ForwardPass:
        """One pass of the copy."""
        return ForwardPass(self.model, self._head, batch, layers=layers)


def chosen_reference(kind: Any, lora: LoraConfig | None) -> Any:
    """The kind that ``auto`` stands for: ``adapter_off`` where an adapter leaves the base alone.

    Another model is a frozen one.

    Example:
        >>> chosen_reference("auto", None), chosen_reference("auto", LoraConfig())
        ('frozen', 'adapter_off')
    """
    if not isinstance(kind, str):
        return "frozen"
    restored = lora is not None and not changes_base(lora)
    return ("adapter_off" if restored else "frozen") if kind == "auto" else kind


def frozen_copy(model: PreTrainedModel, dtype: str | None = None, *, copied: bool = True) -> Frozen:
    """A reference that is a copy of a model as it is now, or that model itself."""
    kept = copy.deepcopy(model) if copied else model
    return Frozen(kept, getattr(torch, dtype) if dtype else None)
