"""Attention over prompts and responses that are packed in one row.

Each prompt attends to itself; each response to its prompt and to itself. The plan of the row
travels through the model's keyword arguments (``attention_plan=``), so recomputation under gradient
checkpointing and nested models see the right one. Without it the function is transformers' own
``sdpa``, and the loop's where scores have a soft cap, so a model can keep this implementation for
generation and evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from unlearnkit.data.attention_plan import AttentionPlan
from unlearnkit.engine.step.attention_kernels import KERNELS, KernelName
from unlearnkit.engine.step.attention_loop import attend_with_cap

TREE_ATTENTION = "unlearnkit_tree"


Observer = Callable[[Tensor, Tensor, float, float | None], None]
"""Called with query, value, dropout and soft cap of each attention."""


def tree_attention(kernel: KernelName, observe: Observer | None = None) -> Any:
    """An attention function of transformers' interface. ``[1, heads, T, D] -> [1, T, heads, D]``.

    Further keyword arguments are for other implementations of the interface. Those that would
    change the result belong to models that `unlearnkit.engine.step.layout` refuses.
    """
    compute = KERNELS[kernel]

    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        attention_plan: AttentionPlan | None = None,
        dropout: float = 0.0,
        scaling: float | None = None,
        sliding_window: int | None = None,
        softcap: float | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        if attention_plan is None and softcap is not None:
            options = (dropout, scaling, softcap)
            return attend_with_cap(query, key, value, attention_mask, *options), None
        if attention_plan is None:
            return sdpa_attention_forward(
                module, query, key, value, attention_mask,
                dropout=dropout, scaling=scaling, sliding_window=sliding_window, **kwargs,
            )  # fmt: skip
        if observe is not None:
            observe(query, value, dropout, softcap)
        found = compute(
            query, key, value, attention_plan,
            dropout=dropout, scaling=scaling, window=sliding_window, softcap=softcap,
        )  # fmt: skip
        return found, None

    return attend


def use_tree_attention(
    model: PreTrainedModel, kernel: KernelName = "loop", observe: Observer | None = None
) -> None:
    """Makes the model attend over forests from now on, by one of `KERNELS`."""
    name = f"{TREE_ATTENTION}_{kernel}"
    AttentionInterface.register(name, tree_attention(kernel, observe))
    AttentionMaskInterface.register(name, sdpa_mask)
    model.set_attn_implementation(name)


def no_mask(device: torch.device) -> Tensor:
    """A 4-D mask, which transformers hands down as it is, so that none is built."""
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
