"""Rules on plain values of a run, checked before any weight is read."""

from __future__ import annotations

from collections.abc import Collection

from peft import LoraConfig
from transformers import PreTrainedConfig

from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import start_of
from unlearnkit.models.composite.base import CompositeConfig


def check_trainable(
    config: PreTrainedConfig,
    needs: Collection[str],
    reference: str,
    lora: LoraConfig | None,
    mesh: object | None = None,
) -> None:
    """Refuses what a composite model cannot do while it is trained, and what cannot be sharded.

    Args:
        config: The model's.
        needs: What the objectives need.
        reference: The kind of reference.
        lora: The adapter that is to be trained, if any.
        mesh: The processes that the model is to be sharded over, if it is.

    Raises:
        RecipeError: With the key that is to be changed.
    """
    if mesh is not None and (start := start_of(lora)):
        raise RecipeError(
            f"trainer.strategy: fsdp2 does not go with model.lora.init_lora_weights: '{start}', "
            "which reads whole weights",
            hint="Set trainer.strategy: ddp, or init_lora_weights: true.",
        )
    if not isinstance(config, CompositeConfig):
        return
    if config.trained is None:
        raise RecipeError(
            f"model.base: a model made by 'edit {config.edit}' has no trained component",
            hint=config.instead,
        )
    if lora is not None:
        raise RecipeError(
            "model.lora: a composite model takes no adapter",
            hint="Its trained component is small and trained whole: set model.lora: null.",
        )
    if mesh is not None:
        raise RecipeError(
            "trainer.strategy: fsdp2 does not shard a composite model",
            hint="Set trainer.strategy: ddp; only the trained component has gradients.",
        )
    if "hidden" in needs:
        raise RecipeError(
            "model.objectives: hidden states are read, and a composite model has those of each "
            "part",
            hint="Take an objective on log-probabilities or logits.",
        )
    if reference == "cached" and "reference" in needs:
        raise RecipeError(
            "model.reference: 'cached' keeps a copy of the output head, and a composite model has "
            "several",
            hint="Set model.reference: frozen, which shares the parts that never change.",
        )
