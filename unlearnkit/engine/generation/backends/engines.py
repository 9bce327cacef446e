"""Gives the engine of the backend that generates here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import nn
from transformers import GenerationConfig

from unlearnkit.data.generated import generating


class Engine(Protocol):
    """Continues prompts of one model."""

    rows: int
    """Prompts in one call at most; all calls are the same on any number of processes."""

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        config: GenerationConfig,
        seed: int,
    ) -> list[list[int]]:
        """New ids of each prompt; what follows an end token is ignored."""
        ...


def engine_of(model: nn.Module, batch_size: int) -> Engine | None:
    """The engine that generates for a model; None for transformers' own, batch by batch.

    Args:
        model: A causal language model.
        batch_size: Rows that run at once, where the backend takes a number.

    Raises:
        RecipeError: If the backend does not go with the model.
    """
    name = generating().name
    if name == "continuous":
        from unlearnkit.engine.generation.backends.continuous import Continuous

        return Continuous(model, batch_size)
    if name == "vllm":
        from unlearnkit.engine.generation.backends.vllm import Vllm

        return Vllm(model)
    return None
