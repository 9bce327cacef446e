"""Attention over a forest of prompts and responses packed in one row without padding.

Each prompt attends to itself; each response to its prompt and to itself. The forest travels
through the model's keyword arguments (``tree=``), so recomputation under gradient checkpointing
and nested models see the right one. Without it the function is transformers' own ``sdpa``, so a
model can keep this implementation for generation and evaluation.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from unlearnkit.data.pack import Tree

TREE_ATTENTION = "unlearnkit_tree"


class Forest:
    """The trees of one packed row, with what every layer would otherwise work out again."""

    def __init__(self, trees: tuple[Tree, ...], position_ids: Tensor) -> None:
        self.trees = trees
        self.position_ids = position_ids

    @cached_property
    def parts(self) -> list[tuple[tuple[int, int], Tensor | None, Tensor | None]]:
        """Query span, key indices and mask of each part; None stands for 'itself, causal'."""
        device = self.position_ids.device
        found: list[tuple[tuple[int, int], Tensor | None, Tensor | None]] = []
        for prompt, responses in self.trees:
            if len(responses) == 1 and responses[0][0] == prompt[1]:
                found.append(((prompt[0], responses[0][1]), None, None))
                continue
            found.append((prompt, None, None))
            for start, end in responses:
                keys = torch.cat(
                    [
                        torch.arange(*prompt, device=device),
                        torch.arange(start, end, device=device),
                    ]
                )
                found.append(((start, end), keys, self._reach(start, end, keys)))
        return found

    def _reach(self, start: int, end: int, keys: Tensor) -> Tensor:
        positions = self.position_ids[0]
        return positions[keys][None, :] <= positions[start:end][:, None]

    def window(self, span: tuple[int, int], keys: Tensor | None, size: int) -> Tensor | None:
        """``[Q, K]`` mask of a sliding window, or None where the window reaches everything."""
        positions = self.position_ids[0]
        queries = positions[slice(*span)]
        seen = queries if keys is None else positions[keys]
        distance = queries[:, None] - seen[None, :]
        if int(distance.max()) < size:
            return None
        return (distance >= 0) & (distance < size)


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    tree: Forest | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """An attention function of transformers' interface. ``[1, heads, T, D] -> [1, T, heads, D]``.

    Further keyword arguments are for other implementations of the interface. Those that would
    change the result belong to models that `unlearnkit.engine.step.layout` refuses.
    """
    if tree is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask,
            dropout=dropout, scaling=scaling, sliding_window=sliding_window, **kwargs,
        )  # fmt: skip
    return _over_forest(
        query, key, value, tree,
        dropout=dropout, scaling=scaling, sliding_window=sliding_window, softcap=softcap,
    ), None  # fmt: skip


# Compiled code would be made anew for each number of parts.
@torch.compiler.disable(reason="the parts of a forest differ from step to step")
def _over_forest(
    query: Tensor, key: Tensor, value: Tensor, tree: Forest, *,
    dropout: float, scaling: float | None, sliding_window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    outputs: list[Tensor] = []
    for span, keys, mask in tree.parts:
        q = query[:, :, slice(*span)]
        k = key[:, :, slice(*span)] if keys is None else key.index_select(2, keys)
        v = value[:, :, slice(*span)] if keys is None else value.index_select(2, keys)
        if sliding_window is not None:
            mask = tree.window(span, keys, sliding_window) if keys is None else _both(
                mask, tree.window(span, keys, sliding_window)
            )  # fmt: skip
        if softcap is not None:
            outputs.append(_capped(q, k, v, mask, dropout, scaling, softcap))
            continue
        outputs.append(
            F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling, is_causal=mask is None
            )
        )
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous()


def use_tree_attention(model: PreTrainedModel) -> None:
    """Makes the model use `tree_attention` from now on."""
    AttentionInterface.register(TREE_ATTENTION, tree_attention)
    AttentionMaskInterface.register(TREE_ATTENTION, sdpa_mask)
    model.set_attn_implementation(TREE_ATTENTION)


def no_mask(device: torch.device) -> Tensor:
    """A 4-D mask, which transformers hands down as it is, so that none is built."""
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)


def _both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return one if other is None else other if one is None else one & other


def _capped(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float,
    scaling: float | None, softcap: float,
) -> Tensor:  # fmt: skip
    if mask is None:
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.tanh(q @ k.transpose(2, 3) * scale / softcap) * softcap
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
    return F.dropout(weights, dropout, training=dropout > 0) @ v
