"""The scale or soft cap that follows a model's head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.errors import RecipeError
from unlearnkit.models.modes import evaluating

_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
_FIELDS = (*_CAPS, "logit_scale", "lm_head_multiplier", "logits_scaling")


@dataclass(frozen=True)
class LogitTransform:
    """``z = cap·tanh(scale·x / cap)``, without the cap ``z = scale·x``.

    Example:
        >>> LogitTransform(scale=0.5)(torch.tensor([4.0]))
        tensor([2.])
    """

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, raw: Tensor) -> Tensor:
        """Logits from the head's output, of any shape."""
        scaled = raw if self.scale == 1.0 else raw * self.scale
        return scaled if self.cap is None else torch.tanh(scaled / self.cap) * self.cap

    def backward(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """The gradient at the raw output from that at the logits; may write into it."""
        if self.cap is not None:
            gradient *= 1 - (logits / self.cap) ** 2
        return gradient if self.scale == 1.0 else gradient.mul_(self.scale)


def logit_transform(model: nn.Module) -> LogitTransform:
    """The transform of a model, found by asking the model itself.

    The candidates that its config names are tried on a short input, and the one that gives the
    model's own logits is taken.

    Raises:
        RecipeError: If none does, or if the logits are NaN.
    """
    base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # pyright: ignore
    seen: list[Tensor] = []
    handle = base.get_output_embeddings().register_forward_hook(
        lambda _module, _arguments, output: seen.append(output.detach())
    )
    config = base.config.get_text_config()
    try:
        with torch.no_grad(), evaluating(base):
            device = next(base.parameters()).device
            ids = torch.arange(2, device=device).reshape(1, 2) % config.vocab_size
            logits = base(input_ids=ids, use_cache=False).logits
    finally:
        handle.remove()
    if logits.isnan().any():
        raise RecipeError(
            f"model.base: the logits of {type(base).__name__} are NaN",
            hint="Look for weights that are not finite, or too large for their dtype.",
        )
    for candidate in _candidates(config):
        if torch.allclose(candidate(seen[-1]).float(), logits.float(), rtol=1e-5, atol=1e-6):
            return candidate
    raise RecipeError(
        f"model.base: the head of {type(base).__name__} changes its logits in a way that is not "
        "known, so response-only logits would be wrong",
        hint="Please report the architecture.",
    )


def transform_fields(config: Any) -> dict[str, Any]:
    """Fields of a config that transforms are made of, for a model around one of that config."""
    return {name: value for name in _FIELDS if (value := getattr(config, name, None))}


def _candidates(config: Any) -> Iterator[LogitTransform]:
    yield LogitTransform()
    for name in _CAPS:
        if cap := getattr(config, name, None):
            yield LogitTransform(cap=cap)
    for name in ("logit_scale", "lm_head_multiplier"):
        if scale := getattr(config, name, None):
            yield LogitTransform(scale=scale)
    if divisor := getattr(config, "logits_scaling", None):
        yield LogitTransform(scale=1 / divisor)
