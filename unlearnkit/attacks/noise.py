"""Adds noise to the weights, which hides small changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import measured, notes_on
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.plain import spaced

if TYPE_CHECKING:
    from unlearnkit.data.example import Example

SCALES = (0.01, 0.02, 0.05, 0.1)
"""Standard deviations of the noise, as shares of that of the matrix it is added to."""


class Noise(Attack, name="noise"):
    """Add noise to the weights: a thin change drowns in it before the knowledge does.

    To each matrix Gaussian noise is added, of ``scale`` times the matrix's own standard deviation;
    norms and biases are left as they are. The noise is the same at every scale but for its size,
    and the same for models of equal shapes. Of a composite model all parts get noise. A curve has
    one mapping per scale, that of the untouched model first: ``scale``, and ``forget/<metric>``.

    Args:
        limit: Rows measured at most, evenly spaced.
        scale: One scale in place of `SCALES`, above 0.
        seed: Of the noise.

    References:
        Che et al. 2025, "Model tampering attacks enable more rigorous evaluations of LLM
        capabilities", arXiv 2502.05209, for attacks that change the weights.
    """

    def __init__(self, limit: int = 32, scale: float | None = None, seed: int = 0) -> None:
        if scale is not None and not 0 < scale < float("inf"):
            raise UserError(f"--scale: expected a number above 0, found {scale}", title="usage")
        self.limit, self.scale, self.seed = check_limit(limit), scale, seed

    def prepare(self, target: Target) -> list[Example]:
        """Evenly spaced rows."""
        return spaced(target.examples, self.limit)

    def notes(self, rows: Sequence[Example], target: Target) -> list[str]:
        """Rows that are cut, or have no word."""
        return notes_on({"forget": rows}, target)

    def run(self, base: str | BaseModel, rows: Sequence[Example], target: Target) -> Curve:
        """Measures the model as it is, and with ever more noise."""
        curve: Curve = []
        for scale in (None, *(SCALES if self.scale is None else (self.scale,))):
            model = on_device(load_model(base))
            if scale is not None:
                add_noise(model, scale, self.seed)
            metrics = measured(model, target.tokenizer, rows, target.context)
            curve.append({"scale": scale, **metrics})
        return curve


@torch.no_grad()
def add_noise(model: nn.Module, scale: float, seed: int) -> None:
    """Adds noise to each matrix of a model, in place.

    Args:
        model: The model.
        scale: Standard deviation of the noise, as a share of the matrix's own.
        seed: Of the noise.

    Example:
        >>> layer = nn.Linear(100, 100)
        >>> before = layer.weight.clone()
        >>> add_noise(layer, 0.5, seed=0)
        >>> round(((layer.weight - before).std() / before.std()).item(), 1)
        0.5
    """
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        if weight.ndim > 1 and weight.is_floating_point():
            noise = torch.randn(weight.shape, generator=generator).to(weight.device)
            weight.add_((noise * (scale * weight.float().std(correction=0))).to(weight.dtype))
