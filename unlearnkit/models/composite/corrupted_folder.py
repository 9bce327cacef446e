"""Describes models with corrupted prompts and loads them from their folders."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from unlearnkit.models.base import BaseModel, as_base_model
from unlearnkit.models.composite.corrupted import CorruptedConfig, CorruptedForCausalLM
from unlearnkit.models.composite.parts import (
    load_part,
    pointer_to,
    use_own_generation_config,
)
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import load_model, register
from unlearnkit.models.logit_transform import transform_fields


def describe_corrupted(base: BaseModel, config: PreTrainedConfig, **given: Any) -> CorruptedConfig:
    """The config of a model with corrupted prompts.

    Args:
        base: The model below.
        config: Its config.
        **given: Classifier and noise, as of `CorruptedConfig`.
    """
    text = config.get_text_config()
    return CorruptedConfig(
        parts={"base": {**pointer_to(base), "fingerprint": model_fingerprint(base)}},
        vocab_size=text.vocab_size,
        num_hidden_layers=text.num_hidden_layers,
        max_position_embeddings=getattr(text, "max_position_embeddings", None),
        architectures=[CorruptedForCausalLM.__name__],
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
        pad_token_id=text.pad_token_id,
        **transform_fields(text),
        **given,
    )


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
