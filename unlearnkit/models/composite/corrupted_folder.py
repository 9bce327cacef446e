"""Describes models with corrupted prompts and loads them from their folders."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from unlearnkit.models.base import BaseModel, as_base_model
from unlearnkit.models.composite.corrupted import CorruptedConfig, CorruptedForCausalLM
from unlearnkit.models.composite.parts import (
    fields_around,
    load_part,
    use_own_generation_config,
)
from unlearnkit.models.load import load_model, register


def describe_corrupted(base: BaseModel, config: PreTrainedConfig, **given: Any) -> CorruptedConfig:
    """The config of a model with corrupted prompts.

    Args:
        base: The model below.
        config: Its config.
        **given: Classifier and noise, as of `CorruptedConfig`.
    """
    return CorruptedConfig(**fields_around(config, CorruptedForCausalLM, base=base), **given)


def load_corrupted(base: BaseModel) -> CorruptedForCausalLM:
    """A model with corrupted prompts from its folder.

    Raises:
        RecipeError: If the base is missing or has changed.
    """
    resolved = as_base_model(base)
    config: Any = CorruptedConfig.from_pretrained(resolved.path)
    model = CorruptedForCausalLM(config, load_part(config, "base", resolved, load_model))
    use_own_generation_config(model, resolved.path)
    return model


register(CorruptedConfig.model_type, load_corrupted)
