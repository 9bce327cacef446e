"""Strategies that a run is refused, found before anything is loaded."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy

from unlearnkit.engine.training.salun import check_saliency
from unlearnkit.errors import RecipeError
from unlearnkit.module import UnlearningModule


def refuse_strategies(module: UnlearningModule, trainer: L.Trainer) -> None:
    """Refuses a trainer's strategy that would make the training another one.

    Raises:
        RecipeError: With the keys that do not go together.
    """
    check_saliency(module.saliency, module.lora, trainer)
    if isinstance(trainer.strategy, FSDPStrategy):
        raise RecipeError(
            "trainer.strategy: fsdp flattens weights, and the output head, which is called apart "
            "from the model, needs them as they are",
            hint="Set trainer.strategy: fsdp2, which shards the same weights without flattening.",
        )
    if isinstance(trainer.strategy, DeepSpeedStrategy) and trainer.strategy.zero_stage_3:
        raise RecipeError(
            "trainer.strategy: stage 3 of DeepSpeed takes weights apart, and the output head, "
            "which is called apart from the model, needs them whole",
            hint="Set trainer.strategy: fsdp2, or deepspeed_stage_2.",
        )
