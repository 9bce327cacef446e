"""A base model in 4 or 8 bits under an adapter (QLoRA), by bitsandbytes through transformers.

References:
    Dettmers, Pagnoni, Holtzman, Zettlemoyer. QLoRA: Efficient Finetuning of Quantized LLMs.
    arXiv 2305.14314.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from peft import LoraConfig
from torch import nn
from transformers import BitsAndBytesConfig

from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import changes_base
from unlearnkit.models.base import BaseModel, as_base_model


def quantization_config(base: BaseModel) -> BitsAndBytesConfig:
    """What transformers is to make of the weights: NF4 with quantised constants, or LLM.int8().

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
    """Has bitsandbytes leave 4-bit weights in the layout that gradients pass through.

    On CPUs with AVX512-BF16 it repacks them at the first pass in eval mode, such as one of the
    reference, for a kernel that gives zero gradients without an error.
    """
    module: Any
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def check_quantization(
    base: str | BaseModel, lora: LoraConfig | None, reference: str | None
) -> None:
    """Refuses what cannot be trained on quantised weights; no weights are read.

    Args:
        base: The model.
        lora: The adapter that is to be trained, if any.
        reference: The kind of reference; None where none is needed.

    Raises:
        RecipeError: Without an adapter, for a GGUF file, for a second copy as the reference, or if
            bitsandbytes is not installed.
    """
    resolved = as_base_model(base)
    if resolved.quantization is None:
        return
    key = f"model.base.quantization: {resolved.quantization}"
    if lora is None:
        raise RecipeError(
            f"{key} needs an adapter, since quantised weights cannot be trained",
            hint="Set model.lora, or leave quantization out.",
        )
    if resolved.gguf_file:
        raise RecipeError(
            f"{key} does not go with a GGUF file, which is dequantised on loading",
            hint="Leave quantization out, or give a folder with safetensors.",
        )
    if reference == "frozen":
        changing = changes_base(lora)
        instead = "Set model.reference: adapter_off, which is the same model without a copy."
        raise RecipeError(
            f"{key} does not go with model.reference: frozen"
            + (f", which model.lora.{changing} needs" if changing else ""),
            hint="Set model.reference: cached." if changing else instead,
        )
    quantization_config(resolved)
