"""A composite model that reads examples before every prompt (ERASE, ICUL)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from unlearnkit.models.composite.base import CompositeConfig, OnBase


class ContextConfig(CompositeConfig):
    """Config of a model with examples in context.

    Args:
        context_ids: Token ids of the examples, without a token at the beginning of the text.
        begins_with: That token, where the tokenizer has one.
        made: Name of the edit that chose them.
        **kwargs: As of any composite model; ``max_position_embeddings`` is what the examples leave.
    """

    model_type = "unlearnkit_context"
    made_by = "erase"
    above = "context"

    def __init__(
        self,
        context_ids: list[int] | None = None,
        begins_with: int | None = None,
        made: str = "erase",
        **kwargs: Any,
    ) -> None:
        self.context_ids, self.begins_with, self.made = context_ids or [], begins_with, made
        super().__init__(**kwargs)

    @property
    def edit(self) -> str:
        """The edit that chose the examples."""
        return self.made

    @property
    def instead(self) -> str:
        """What to do in place of training."""
        if self.made == "erase":
            return "Take examples out: unlearnkit edit delete --model FOLDER --forget FILE."
        return f"Make the model anew: unlearnkit edit {self.made}."


class ContextForCausalLM(OnBase, PreTrainedModel, GenerationMixin):
    """The base, with its examples in front of whatever it is given.

    Positions, logits and hidden states are those of the input alone, so that the engine, the
    metrics and ``generate()`` take it for an ordinary model. The base has no gradients: what is
    to be forgotten is in the examples, not in its weights.

    Args:
        config: The examples.
        base: The model that reads them.
    """

    config: ContextConfig
    config_class = ContextConfig
    _supports_attention_backend = True
    prepends = True
    """Tells the engine that rows must come one by one, and to what they are shortened."""

    def __init__(self, config: ContextConfig, base: PreTrainedModel) -> None:
        super().__init__(config)
        self.base = base.requires_grad_(False)
        begin = [] if config.begins_with is None else [config.begins_with]
        ids = torch.tensor([*begin, *config.context_ids], dtype=torch.long)
        self.register_buffer("context", ids, persistent=False)
        self.generation_config = copy.deepcopy(base.generation_config)
        self.eval()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Any = None,
        labels: Tensor | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """The base's output after the examples, ``[B, T, V]`` or of the last ``logits_to_keep``.

        A cache that is not empty has the examples in it already.
        """
        assert input_ids is not None
        kwargs.pop("return_dict", None)
        context: Any = self.context
        rows, tokens = input_ids.shape
        held = cache.get_seq_length() if cache is not None else 0
        mask = attention_mask
        if mask is None:
            mask = input_ids.new_ones(rows, max(held - len(context), 0) + tokens)
        if cache is not None and held:
            mask = torch.cat([cache.first_mask, mask[:, cache.first_mask.shape[1] :]], dim=1)
            ids = input_ids
        else:
            mask = _without_begin(input_ids, mask, self.config.begins_with)
            ids = torch.cat([context.expand(rows, -1), input_ids], dim=1)
        whole = torch.cat([mask.new_ones(rows, len(context)), mask], dim=1)
        # Positions follow from the mask; those that are given count without the examples.
        places = (whole.cumsum(-1) - 1)[:, -ids.shape[1] :]
        output = self.base(
            input_ids=ids,
            attention_mask=whole,
            position_ids=places,
            cache=cache,
            logits_to_keep=logits_to_keep or tokens,
            **kwargs,
        )
        if getattr(output, "cache", None) is not None and not held:
            output.cache.first_mask = mask
        loss = None
        if labels is not None:
            loss = self.loss_function(output.logits, labels, vocab_size=self.config.vocab_size)
        return CausalLMOutputWithPast(
            loss=loss, logits=output.logits, cache=getattr(output, "cache", None)
        )  # pyright: ignore


def _without_begin(input_ids: Tensor, mask: Tensor, token: int | None) -> Tensor:
    """The mask without a row's own token of the text's beginning: the examples have one."""
    if token is None:
        return mask
    first = (mask.cumsum(-1) == 1) & (mask == 1)
    return mask.masked_fill(first & (input_ids == token), 0)


AutoConfig.register(ContextConfig.model_type, ContextConfig, exist_ok=True)
AutoModelForCausalLM.register(ContextConfig, ContextForCausalLM, exist_ok=True)
