"""Ends the rows of a batch, and continues the others without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from transformers import DynamicCache, StoppingCriteria
from transformers.cache_utils import DynamicLayer

from unlearnkit.data.tokens.control import control_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


READ_EVERY = 8
"""New tokens between two times that the host asks a device which rows are done."""


class RowsDone(StoppingCriteria):
    """Ends each row at its own limit, at its first stop string or at an end token.

    Limits and end tokens are looked at on the model's device after every token. What the host has
    to read it reads every `READ_EVERY` tokens: the texts, where there are stop strings, and with
    ``leave`` whether half of the rows are done, which ends all of them.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompt_length: int,
        limits: Sequence[int],
        stop: Sequence[str],
        ends: Sequence[int],
        *,
        leave: bool,
    ) -> None:
        self.tokenizer, self.prompt_length, self.stop = tokenizer, prompt_length, tuple(stop)
        self.known_limits = tuple(limits)
        self.limits, self.ends, self.leave = torch.tensor(limits), torch.tensor(ends).long(), leave
        self._ended: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Which rows are done, ``[B]``, after ids ``[B, T]``; called after each token."""
        new = input_ids[:, self.prompt_length :]
        at_limit = sum(limit <= new.shape[1] for limit in self.known_limits)
        if self.leave and 2 * at_limit >= len(new):
            return torch.ones(len(new), dtype=torch.bool, device=new.device)
        if self._ended is None:
            self.limits, self.ends = self.limits.to(new.device), self.ends.to(new.device)
            self._ended = self._met_end(new)
        else:
            self._ended = self._ended | self._met_end(new[:, -1:])
        if new.shape[1] % READ_EVERY:
            return self._ended | (self.limits <= new.shape[1])
        done = self.done(input_ids)
        return torch.ones_like(done) if self.leave and int(done.sum()) * 2 >= len(done) else done

    def done(self, input_ids: Tensor) -> Tensor:
        """Which rows have reached limit, stop string or end token, ``[B]``; reads texts."""
        new = input_ids[:, self.prompt_length :]
        done = (self.limits.to(new.device) <= new.shape[1]) | self._met_end(new)
        if self.stop:
            texts = [decode(self.tokenizer, ids) for ids in new.tolist()]
            met = [any(s in text for s in self.stop) for text in texts]
            done = done | torch.tensor(met, device=new.device)
        return done

    def _met_end(self, new: Tensor) -> Tensor:
        return torch.isin(new, self.ends.to(new.device)).any(dim=1)


def cache_of_rows(model: nn.Module) -> DynamicCache | None:
    """An empty cache whose rows can be taken out, if all that the model keeps is in it.

    Models that are not transformers' own, and layers that keep a state rather than keys and values,
    may keep more.
    """
    inner: Any = inner_model(model)
    if not is_plain(model) or not inner._supports_default_dynamic_cache():
        return None
    cache = DynamicCache(config=inner.config)
    return cache if all(type(layer) is DynamicLayer for layer in cache.layers) else None


def is_plain(model: nn.Module) -> bool:
    """Whether it is one of transformers' own, adapted or not."""
    inner = inner_model(model)
    # Sharding puts a class of its own in front.
    kind = type(inner).__bases__[-1] if isinstance(inner, FSDPModule) else type(inner)
    return kind.__module__.startswith("transformers.models.")


def inner_model(model: Any) -> Any:
    """The model of transformers inside one that PEFT wraps; any other as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of token ids, without control tokens."""
    ids = control_of(tokenizer).without(ids)
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)
