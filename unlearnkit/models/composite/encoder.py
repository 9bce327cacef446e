"""Encodes prompts for detectors as mean hidden states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import (
    BaseModel,
    as_base_model,
    from_pretrained_arguments,
    load_tokenizer,
    reading,
)
from unlearnkit.models.load import is_adapter
from unlearnkit.models.rope import forget_long_rows, length_scalings, row_groups
from unlearnkit.models.whole import load_whole


class TextEncoder(nn.Module):
    """A transformers encoder with a tokenizer of its own; prompts are decoded for it.

    Args:
        model: Gives hidden states.
        tokenizer: Its own.
        prompts: The tokenizer of the prompts.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, prompts: Any) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self._tokenizer, self._prompts = tokenizer, prompts

    def forward(self, input_ids: Tensor, mask: Tensor, layers: int) -> Tensor:
        """``[B, T]`` ids of prompts to ``[B, layers, H]`` float32."""
        texts = [
            self._prompts.decode(row[kept.bool()].tolist(), skip_special_tokens=True)
            for row, kept in zip(input_ids, mask, strict=True)
        ]
        given = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        given = given.to(input_ids.device)
        output = self.model(**given, output_hidden_states=True)
        states = torch.stack(output.hidden_states[:layers], dim=1)
        return pooled(states, given["attention_mask"])


def load_encoder(path: str, prompts: Any) -> TextEncoder:
    """An encoder from a folder or a hub id.

    Raises:
        RecipeError: If there is none, or it has no safetensors weights.
    """
    resolved = as_base_model(BaseModel(path))
    own_config(resolved)  # transformers would put an adapter on whatever it names as its base
    given = {"use_safetensors": True, **from_pretrained_arguments(resolved)}
    # Only hidden states are read, and a pooler gives none.
    model = load_whole(AutoModel, resolved, unread=("pooler.",), cut=True, **given)
    return TextEncoder(model, load_tokenizer(resolved), prompts)


def states_of(path: str) -> int:
    """Hidden states that an encoder gives, the embedding included; no weights are read.

    Raises:
        RecipeError: If there is no model there.
    """
    config = own_config(as_base_model(BaseModel(path)))
    return config.get_text_config().num_hidden_layers + 1


def own_config(resolved: BaseModel) -> Any:
    """The config of an encoder or a classifier; no weights are read.

    Raises:
        RecipeError: If there is no model there, or an adapter without its model.
    """
    if is_adapter(resolved):
        raise RecipeError(
            f"{resolved.path}: expected a whole model, found an adapter (adapter_config.json)",
            hint="Merge it into its model first, and name the new folder: of a causal model by "
            "unlearnkit export FOLDER OUT --merge, otherwise by merge_and_unload of PEFT.",
        )
    with reading(resolved):
        return AutoConfig.from_pretrained(resolved.path, **from_pretrained_arguments(resolved))


def own_states(model: Any, input_ids: Tensor, mask: Tensor, layers: int) -> Tensor:
    """The same of a causal language model's own hidden states, ``[B, layers, H]`` float32."""
    if layers == 1:
        return pooled(model.get_input_embeddings()(input_ids)[:, None], mask)
    groups = row_groups(model, mask.sum(1).tolist()) if length_scalings(model) else []
    if len(groups) > 1:
        parts = [own_states(model, input_ids[rows], mask[rows], layers) for rows in groups]
        order = torch.tensor([row for rows in groups for row in rows]).argsort()
        return torch.cat(parts)[order.to(input_ids.device)]
    forget_long_rows(model)
    output = model.base_model(
        input_ids=input_ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        output_hidden_states=True,
        use_cache=False,
    )
    return pooled(torch.stack(output.hidden_states[:layers], dim=1), mask)


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over the positions of the mask, ``[B, L, T, H] -> [B, L, H]`` float32."""
    weight = mask[:, None, :, None].float()
    return (states.float() * weight).sum(2) / weight.sum(2).clamp(min=1)
