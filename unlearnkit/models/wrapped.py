"""The language model inside what wraps it for ranks or compilation."""

from __future__ import annotations

from typing import Any

from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

_WRAPPED = ("module", "_orig_mod")
"""Attributes in which torch's wrappers keep the wrapped module."""


def unwrapped(model: nn.Module) -> Any:
    """The model below ``DistributedDataParallel``, ``torch.compile`` and their like.

    Where no language model is below, it is the innermost module.

    Example:
        >>> linear = nn.Linear(1, 1)
        >>> unwrapped(nn.DataParallel(linear)) is linear
        True
    """
    found: Any = model
    while not isinstance(found, PreTrainedModel | PeftModel):
        inner = [
            each for name in _WRAPPED if isinstance(each := getattr(found, name, None), nn.Module)
        ]
        if not inner or hasattr(type(found), "get_output_embeddings"):
            break
        found = inner[0]
    return found
