"""A composite model that combines the logits of several models."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from unlearnkit.models.composite.base import PARTS, CompositeModel
from unlearnkit.models.composite.logit_rules import RULES, CombinedConfig
from unlearnkit.models.composite.parts import with_fingerprints
from unlearnkit.models.logit_transform import LogitTransform, logit_transform
from unlearnkit.models.modes import captured_states


class PartsCache(Cache):
    """A cache for each part, which generation sees as one cache of all their layers."""

    def __init__(self, caches: Mapping[str, DynamicCache]) -> None:
        self.of = dict(caches)
        super().__init__(layers=[layer for cache in self.of.values() for layer in cache.layers])


class CombinedHead(nn.Module):
    """The parts' output heads on their hidden states, which come side by side.

    It has no weights of its own: the parts are not registered as its submodules.
    """

    def __init__(self, config: CombinedConfig, parts: Mapping[str, PreTrainedModel]) -> None:
        super().__init__()
        self._rule, self._arguments = RULES[config.rule], config.arguments
        self._vocabulary = config.vocab_size
        # A tuple of pairs, since a module as an attribute would be registered.
        self._parts = tuple(
            (parts[name], logit_transform(parts[name])) for name in self._rule.parts
        )
        self.widths = [head_of(part).weight.shape[-1] for part, _ in self._parts]

    @property
    def weight(self) -> Tensor:
        """The base's; its first dimension is the vocabulary."""
        return head_of(self._parts[0][0]).weight[: self._vocabulary]

    def forward(self, states: Tensor) -> Tensor:
        """``[..., sum of widths] -> [..., V]``."""
        pieces = states.split(self.widths, dim=-1)
        logits = [
            self._logits(part, transform, piece)
            for (part, transform), piece in zip(self._parts, pieces, strict=True)
        ]
        return self._rule.combine(*logits, **self._arguments)

    def _logits(self, part: PreTrainedModel, transform: LogitTransform, states: Tensor) -> Tensor:
        head = head_of(part)
        return transform(head(states.to(head.weight.dtype)))[..., : self._vocabulary]


class CombinedForCausalLM(CompositeModel, PreTrainedModel, GenerationMixin):
    """Parts with one vocabulary, whose logits a `Rule` combines.

    The engine sees an ordinary model with one output head: its hidden states are those of all
    parts, side by side. Only the trained component has gradients and is saved; the others are
    frozen and stay in eval mode.

    Args:
        config: Its rule and the arguments of the rule.
        parts: The models by name.
    """

    config: CombinedConfig
    config_class = CombinedConfig
    _supports_attention_backend = True

    def __init__(self, config: CombinedConfig, parts: Mapping[str, PreTrainedModel]) -> None:
        super().__init__(config)
        self.rule = RULES[config.rule]
        self.parts = nn.ModuleDict({name: parts[name] for name in self.rule.parts})
        for name, part in parts.items():
            part.requires_grad_(name == self.rule.own)
        self.head = CombinedHead(config, parts)
        self.generation_config = copy.deepcopy(parts["base"].generation_config)
        self.eval()

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        state_dict: Mapping[str, Tensor] | None = None,
        max_shard_size: int | str = "5GB",
    ) -> None:
        """Writes the trained component, and where the other parts are."""
        folder = Path(save_directory)
        if self.rule.own is not None:
            own: Any = self.parts[self.rule.own]
            prefix = f"{PARTS}.{self.rule.own}."
            given = state_dict and {
                key.removeprefix(prefix): value
                for key, value in state_dict.items()
                if key.startswith(prefix)
            }
            own.save_pretrained(
                folder / PARTS / self.rule.own, state_dict=given, max_shard_size=max_shard_size
            )
        with_fingerprints(self.config, folder).save_pretrained(folder)
        self.generation_config.save_pretrained(folder)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        use_cache: bool | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits ``[B, T, V]``, or of the last ``logits_to_keep`` positions.

        A cache that is given must be empty, or come from an earlier call.
        """
        kwargs.pop("return_dict", None)
        caches = self._caches(cache) if use_cache is not False else None
        shared = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "position_ids": position_ids,
            "use_cache": caches is not None,
            **kwargs,
        }
        states: list[Tensor] = []
        for name, part in self.parts.items():
            with captured_states(head_of(part)) as caught:
                part(cache=caches.of[name] if caches else None, **shared)
            states.append(caught[-1])
        logits = self.head(torch.cat(states, dim=-1)[:, -logits_to_keep:])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size)
        return CausalLMOutputWithPast(loss=loss, logits=logits, cache=caches)  # pyright: ignore

    def open_base(self) -> None:
        """Gives the base gradients."""
        self.parts["base"].requires_grad_(True)

    def _caches(self, given: Cache | None) -> PartsCache:
        if isinstance(given, PartsCache):
            return given
        if given is not None and given.get_seq_length():
            raise ValueError(f"the cache of a combined model is a PartsCache, found {type(given)}")
        return PartsCache(
            {
                name: DynamicCache(config=part.config)  # pyright: ignore[reportArgumentType]
                for name, part in self.parts.items()
            }
        )

    def get_input_embeddings(self) -> nn.Module:
        """Those of the base."""
        base: Any = self.parts["base"]
        return base.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The head that combines."""
        return self.head

    def set_attn_implementation(self, *args: Any, **kwargs: Any) -> None:
        """Sets that of every part."""
        for part in self.parts.values():
            part.set_attn_implementation(*args, **kwargs)  # pyright: ignore

    def activation_checkpointing_enable(self, *args: Any, **kwargs: Any) -> None:
        """Recomputes activations of the trained component."""
        if self.rule.own is not None:
            self.parts[self.rule.own].activation_checkpointing_enable(*args, **kwargs)  # pyright: ignore

    def enable_input_require_grads(self) -> None:
        """Lets gradients through the input of the trained component."""
        if self.rule.own is not None:
            self.parts[self.rule.own].enable_input_require_grads()  # pyright: ignore

    def train(self, mode: bool = True) -> CombinedForCausalLM:
        """Sets the mode of the trained component; dropout in a frozen part would be noise."""
        super().train(mode)
        for name, part in self.parts.items():
            if name != self.rule.own:
                part.eval()
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> CombinedForCausalLM:
        """A copy that shares the parts that never change."""
        parts: dict[str, Any] = {
            name: copy.deepcopy(part, memo) if name == self.rule.own else part
            for name, part in self.parts.items()
        }
        copied = CombinedForCausalLM(copy.deepcopy(self.config, memo), parts)
        memo[id(self)] = copied
        return copied.train(self.training)


def head_of(model: Any) -> Any:
    """A model's output head."""
    return model.get_output_embeddings()


AutoModelForCausalLM.register(CombinedConfig, CombinedForCausalLM, exist_ok=True)
