"""Rounds the weights, which undoes small changes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TypeGuard

import torch
from torch import nn
from transformers import PreTrainedModel

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import measured, notes_on
from unlearnkit.data.example import Example
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.plain import spaced

GROUP = 32
"""Weights of a row that share a scale in torchao, where rows divide into such groups."""
_MOST_BITS = {"nearest": 16, "torchao": 8}


class Quantize(Attack, name="quantize"):
    """Make the weights coarse: small changes are lost, unlearning included.

    Two ways, each from the model as it is:

    * ``nearest``: each row of a matrix of a linear layer is rounded to the nearest of
      ``2^bits - 1`` evenly spaced values, symmetric about 0. The model computes in its own dtype:
      only what is lost by rounding is measured.
    * ``torchao``, where it is installed (``unlearnkit[quantize]``): its weight-only integers, with
      a scale for each group of `GROUP` weights, as 4-bit models are served; the output head is left
      out.

    Embeddings and norms, and a head that is tied to the embedding, are left as they are. Of a
    composite model all parts become coarse. A curve has one mapping per measurement, that of the
    untouched model first: ``weights``, such as ``nearest-4``, and ``forget/<metric>``.

    Args:
        limit: Rows measured at most, evenly spaced.
        bits: Bits of a weight that are kept, 2 to 16, of which torchao takes at most 8; by default
            8, and 4.

    References:
        Zhang et al. 2024, "Catastrophic failure of LLM unlearning via quantization",
        arXiv 2410.16454.
    """

    def __init__(self, limit: int = 32, bits: int | None = None) -> None:
        if bits is not None and not 2 <= bits <= _MOST_BITS["nearest"]:
            raise UserError(f"--bits: expected 2 to 16, found {bits}")
        self.limit, self.bits = check_limit(limit), bits

    def prepare(self, target: Target) -> list[Example]:
        """Evenly spaced rows."""
        return spaced(target.examples, self.limit)

    def notes(self, rows: Sequence[Example], target: Target) -> list[str]:
        """Rows that are cut, or have no word."""
        return notes_on({"forget": rows}, target)

    def run(self, base: str | BaseModel, rows: Sequence[Example], target: Target) -> Curve:
        """Measures the model as it is, and with coarse weights."""
        tokenizer, context = target.tokenizer, target.context
        ways = ["nearest", *(["torchao"] if torchao_version() else [])]
        bits = (8, 4) if self.bits is None else (self.bits,)
        points = [(way, each) for way in ways for each in bits if each <= _MOST_BITS[way]]
        whole = measured(on_device(load_model(base)), tokenizer, rows, context)
        curve: Curve = [{"weights": None, **whole}]
        for way, each in points:
            model = on_device(load_model(base))
            (round_weights if way == "nearest" else _use_torchao)(model, each)
            metrics = measured(model, tokenizer, rows, context)
            curve.append({"weights": f"{way}-{each}", **metrics})
        return curve


def torchao_version() -> str | None:
    """Version of torchao, or None where it is not installed."""
    try:
        return version("torchao")
    except PackageNotFoundError:
        return None


@torch.no_grad()
def round_weights(model: nn.Module, bits: int) -> None:
    """Rounds the weights of all linear layers in place; see `Quantize`, ``nearest``.

    Args:
        model: The model; what is tied to an embedding is left as it is.
        bits: Bits of a weight that are kept.
    """
    largest = 2 ** (bits - 1) - 1
    tied = {id(each.weight) for each in model.modules() if isinstance(each, nn.Embedding)}
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and id(layer.weight) not in tied:
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

    # A composite model has a head for each part.
    heads = {
        id(each.get_output_embeddings())
        for each in model.modules()
        if isinstance(each, PreTrainedModel)
    }
    dtype = getattr(torch, f"int{bits}")

    def quantized(layer: nn.Module) -> TypeGuard[nn.Linear]:
        return isinstance(layer, nn.Linear) and id(layer) not in heads

    def groups(layer: nn.Module) -> bool:
        return quantized(layer) and layer.in_features % GROUP == 0

    def whole_rows(layer: nn.Module) -> bool:
        return quantized(layer) and layer.in_features % GROUP != 0

    for chosen, scale in ((groups, PerGroup(GROUP)), (whole_rows, PerAxis(0))):
        config = IntxWeightOnlyConfig(weight_dtype=dtype, granularity=scale)
        quantize_(model, config, filter_fn=lambda layer, _, chosen=chosen: chosen(layer))
