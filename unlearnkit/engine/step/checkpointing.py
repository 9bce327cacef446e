"""Recomputation of decoder blocks, and their inputs in main memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from unlearnkit.errors import RecipeError


@dataclass(frozen=True)
class Checkpointing:
    """Which decoder blocks are recomputed in the backward pass, and where their inputs wait for it.

    Args:
        every: Recompute the first block of every so many; the others keep their activations.
        offload: Keep the inputs of recomputed blocks in main memory rather than on the device;
            without an accelerator they are there anyway.

    References:
        Chen, Xu, Zhang, Guestrin. Training Deep Nets with Sublinear Memory Cost. arXiv 1604.06174.

    Example:
        >>> Checkpointing(every=2)
        Checkpointing(every=2, offload=False)
    """

    every: int = 1
    offload: bool = False


def recompute_blocks(model: Any, wanted: bool | Checkpointing) -> None:
    """Has a model's decoder blocks recomputed in its backward passes, by transformers' own means.

    Args:
        model: A model of transformers, or a composite one.
        wanted: True is every block; False changes nothing.

    Raises:
        RecipeError: If the model's class cannot recompute its blocks.
    """
    if not wanted:
        return
    how = wanted if isinstance(wanted, Checkpointing) else Checkpointing()
    try:
        model.activation_checkpointing_enable(
            {"use_reentrant": False},
            every_n_layers=how.every,
            # Without an accelerator they are in main memory, which transformers fails to pin there.
            offload=how.offload and torch.accelerator.is_available(),
        )
    except ValueError as error:
        raise RecipeError(
            f"model.gradient_checkpointing: {type(model).__name__} cannot recompute its blocks",
            hint="Leave it out, and set model.max_tokens_per_micro_batch to save memory.",
        ) from error
    model.enable_input_require_grads()
