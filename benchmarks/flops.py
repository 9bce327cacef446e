"""Counts floating-point operations, with what torch's own counter leaves out."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

aten = torch.ops.aten


def _attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(
    gradient: Any, query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any
) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


def _addmm(into: Any, left: Any, right: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return 2 * left[0] * left[1] * right[1]


# FlopCounterMode knows addmm but not its in-place form, and CUDA's attention but not the CPU's.
MISSING = {
    aten.addmm_: _addmm,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def count_flops(function: Any) -> int:
    """Operations of a call; a multiply and an add are two."""
    with FlopCounterMode(display=False, custom_mapping=MISSING) as counter:
        function()
    return counter.get_total_flops()
