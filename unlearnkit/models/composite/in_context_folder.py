"""Describes models with examples in context and loads them from their folders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedConfig

from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel, as_base_model
from unlearnkit.models.composite.in_context import ContextConfig, ContextForCausalLM
from unlearnkit.models.composite.parts import (
    fields_around,
    load_part,
    use_own_generation_config,
)
from unlearnkit.models.load import load_model, register


def describe_context(
    base: BaseModel, config: PreTrainedConfig, context: Sequence[int], begins_with: int | None
) -> ContextConfig:
    """The config of a model with examples.

    Args:
        base: The model that reads them.
        config: Its config.
        context: Token ids of the examples.
        begins_with: The token that the tokenizer begins a text with, if it does.

    Raises:
        UserError: If they leave no room in the base's positions.
    """
    text = config.get_text_config()
    longest = getattr(text, "max_position_embeddings", None)
    taken = len(context) + (begins_with is not None)
    if longest is not None and taken + 2 > longest:
        raise UserError(
            f"the examples have {taken} tokens, and {base.path} has {longest} positions for them, "
            "prompt and answer",
            hint="Choose fewer examples (--k), or shorter ones.",
        )
    fields = fields_around(config, ContextForCausalLM, base=base)
    if longest is not None:
        fields["max_position_embeddings"] = longest - taken
    return ContextConfig(context_ids=list(context), begins_with=begins_with, **fields)


def load_context(base: BaseModel) -> ContextForCausalLM:
    """A model with examples from its folder.

    Raises:
        RecipeError: If the base is missing or has changed.
    """
    resolved = as_base_model(base)
    config: Any = ContextConfig.from_pretrained(resolved.path)
    model = ContextForCausalLM(config, load_part(config, "base", resolved, load_model))
    use_own_generation_config(model, resolved.path)
    return model


register(ContextConfig.model_type, load_context)
