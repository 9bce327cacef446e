"""Loads base models in 4 or 8 bits for QLoRA.

References:
    Dettmers, Pagnoni, Holtzman, Zettlemoyer. QLoRA: Efficient Finetuning of Quantized LLMs.
    arXiv 2305.14314.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel


def quantization_config(base: BaseModel) -> BitsAndBytesConfig:
    """Config of the quantisation: NF4 with quantised constants, or LLM.int8().

    Raises:
        RecipeError: If bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise RecipeError(
            f"model.base.quantization: {base.quantization} needs the package bitsandbytes, which "
            "is not installed",
            hint="pip install 'unlearnkit[quantized]'",
        )
    if base.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=None if base.dtype == "auto" else getattr(torch, base.dtype),
    )


def keep_differentiable(model: nn.Module) -> None:
    """Makes bitsandbytes keep 4-bit weights in the layout that gradients need.

    On CPUs with AVX512-BF16 it repacks them at the first pass in eval mode, such as one of the
    reference, for a kernel that gives zero gradients without an error.
    """
    module: Any
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
