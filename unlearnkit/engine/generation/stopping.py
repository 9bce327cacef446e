"""Ends the rows of a batch, and continues the others without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, StoppingCriteria
from transformers.cache_utils import DynamicLayer

from unlearnkit.data.tokens.control import control_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class RowsDone(StoppingCriteria):
    """Ends each row at its own limit, at its first stop string or at an end token.

    With ``leave`` it ends all rows once half of them are done.
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
        self.limits, self.ends, self.leave = torch.tensor(limits), torch.tensor(ends).long(), leave

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Which rows are done, ``[B]``, after ids ``[B, T]``."""
        done = self.done(input_ids)
        return torch.ones_like(done) if self.leave and int(done.sum()) * 2 >= len(done) else done

    def done(self, input_ids: Tensor) -> Tensor:
        """Which rows have reached limit, stop string or end token, ``[B]``."""
        new = input_ids[:, self.prompt_length :]
        done = self.limits <= new.shape[1]
        if self.stop:
            texts = [decode(self.tokenizer, ids) for ids in new.tolist()]
            done |= torch.tensor([any(s in text for s in self.stop) for text in texts])
        met_end = torch.isin(new, self.ends.to(new.device)).any(dim=1)
        return done.to(new.device) | met_end


def cache_of_rows(model: nn.Module) -> DynamicCache | None:
    """An empty cache whose rows can be taken out, if all that the model keeps is in it.

    Models that are not transformers' own, and layers that keep a state rather than keys and values,
    may keep more.
    """
    unwrap: Any = getattr(model, "get_base_model", lambda: model)
    inner: Any = unwrap()
    own = type(inner).__module__.startswith("transformers.models.")
    if not own or not inner._supports_default_dynamic_cache():
        return None
    cache = DynamicCache(config=inner.config)
    return cache if all(type(layer) is DynamicLayer for layer in cache.layers) else None


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of token ids, without control tokens."""
    ids = control_of(tokenizer).without(ids)
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)
