"""Coarse weights, which forget small changes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from unlearnkit.attacks.measuring import Curve, measured
from unlearnkit.data.example import Example
from unlearnkit.errors import UserError
from unlearnkit.models.load import load_model
from unlearnkit.suites.base import SuiteContext

GROUP = 32
"""Weights of a row that share a scale in torchao, where rows divide into such groups."""
_MOST_BITS = {"nearest": 16, "torchao": 8}


def quantize(
    base: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    context: SuiteContext,
    *,
    bits: Sequence[int] = (8, 4),
) -> Curve:
    """Quantises the weights and measures: small changes are lost, unlearning included.

    Two ways, each from the model as it is:

    * ``nearest``: each row of a matrix of a linear layer is rounded to the nearest of
      ``2^bits - 1`` evenly spaced values, symmetric about 0. The model computes in its own dtype:
      only what is lost by rounding is measured.
    * ``torchao``, where it is installed (``unlearnkit[quantize]``): its weight-only integers, with
      a scale for each group of `GROUP` weights, as 4-bit models are served; the output head is left
      out.

    Embeddings and norms, and a head that is tied to the embedding, are left as they are.

    Args:
        base: The model under attack.
        tokenizer: Its tokenizer.
        examples: Forget rows.
        context: Sizes.
        bits: Of a weight; torchao takes at most 8.

    Returns:
        A mapping a measurement, that of the untouched model first: ``weights``, such as
        ``nearest-4``, and ``forget/<figure>``.

    Raises:
        UserError: If a number of bits is outside 2 to 16.

    References:
        Zhang et al. 2024, "Catastrophic failure of LLM unlearning via quantization",
        arXiv 2410.16454.
    """
    wrong = [each for each in bits if not 2 <= each <= _MOST_BITS["nearest"]]
    if wrong:
        raise UserError(f"--bits: expected 2 to 16, found {wrong[0]}")
    ways = ["nearest", *(["torchao"] if torchao_version() else [])]
    points = [(way, each) for way in ways for each in bits if each <= _MOST_BITS[way]]
    curve: Curve = [{"weights": None, **measured(load_model(base), tokenizer, examples, context)}]
    for way, each in points:
        model = load_model(base)
        (_round_weights if way == "nearest" else _use_torchao)(model, each)
        figures = measured(model, tokenizer, examples, context)
        curve.append({"weights": f"{way}-{each}", **figures})
    return curve


def torchao_version() -> str | None:
    """Version of torchao, or None where it is not installed."""
    try:
        return version("torchao")
    except PackageNotFoundError:
        return None


@torch.no_grad()
def _round_weights(model: nn.Module, bits: int) -> None:
    largest = 2 ** (bits - 1) - 1
    tied = model.get_input_embeddings().weight  # pyright: ignore
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer.weight is not tied:
            scale = layer.weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / largest
            layer.weight.copy_((layer.weight / scale).round() * scale)


def _use_torchao(model: nn.Module, bits: int) -> None:
    from torchao.quantization import (  # pyright: ignore[reportMissingImports]
        IntxWeightOnlyConfig,
        quantize_,
    )
    from torchao.quantization.granularity import (  # pyright: ignore[reportMissingImports]
        PerAxis,
        PerGroup,
    )

    head = model.get_output_embeddings()  # pyright: ignore
    dtype = getattr(torch, f"int{bits}")

    def groups(layer: nn.Module) -> bool:
        return isinstance(layer, nn.Linear) and layer is not head and layer.in_features % GROUP == 0

    def whole_rows(layer: nn.Module) -> bool:
        return isinstance(layer, nn.Linear) and layer is not head and layer.in_features % GROUP != 0

    for chosen, scale in ((groups, PerGroup(GROUP)), (whole_rows, PerAxis(0))):
        config = IntxWeightOnlyConfig(weight_dtype=dtype, granularity=scale)
        quantize_(model, config, filter_fn=lambda layer, _, chosen=chosen: chosen(layer))
