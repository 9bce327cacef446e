"""Rules that combine the next-token logits of two or three models."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearnkit.functional.core import at_least_float32


def offset_logits(base: Tensor, tuned: Tensor, small: Tensor, alpha: float = 1.0) -> Tensor:
    r"""What a small model learned, added to the logits of a large one.

    $$z = z_M + \alpha\,(z_{o'} - z_o)$$

    With $o' = o$ this is $z_M$ exactly, and the gradient at $z_{o'}$ is $\alpha$ times that at $z$.

    Args:
        base: ``[..., V]`` of the large model $M$.
        tuned: ``[..., V]`` of the small model after training, $o'$.
        small: ``[..., V]`` of the small model before it, $o$.
        alpha: Factor of the difference.

    Returns:
        ``[..., V]``, at least float32.

    Example:
        >>> z, o = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5])
        >>> offset_logits(z, o, o, alpha=3.0)
        tensor([1., 2.])

    References:
        Huang et al. 2024, "Offset Unlearning for Large Language Models", arXiv 2404.11045.
    """
    return at_least_float32(base) + alpha * (at_least_float32(tuned) - at_least_float32(small))


def uld_logits(
    base: Tensor, assistant: Tensor, weight: float = -0.8, relative_top: float = 0.01
) -> Tensor:
    r"""The logits of an assistant that knows only what is to be forgotten, taken away.

    $$z = z_\mathrm{base} + w\, z_\mathrm{asst}\,[\log p_\mathrm{base} \ge \tau], \quad
      \tau = \min(\max_v \log p_\mathrm{base} + \log r,\ \lfloor rV \rfloor\text{-th largest})$$

    The filter leaves tokens alone that the base model itself finds implausible.

    Args:
        base: ``[..., V]`` of the model as it is.
        assistant: ``[..., V]`` of the assistant.
        weight: $w$; 0 is the base model.
        relative_top: $r$, above 0 and at most 1; 0 switches the filter off.

    Returns:
        ``[..., V]``, at least float32.

    Example:
        >>> uld_logits(torch.tensor([2.0, 1.9, -9.0]), torch.tensor([1.0, 0.0, 5.0]), weight=-1.0)
        tensor([ 1.0000,  1.9000, -9.0000])

    References:
        Ji et al. 2024, "Reversing the Forget-Retain Objectives" (ULD), arXiv 2406.08607.
        Li et al. 2023, "Contrastive Decoding", arXiv 2210.15097 (the filter).
    """
    base, assistant = at_least_float32(base), at_least_float32(assistant)
    if relative_top > 0:
        logps = base.log_softmax(-1)
        kept = max(1, int(relative_top * base.shape[-1]))
        least = logps.topk(kept, dim=-1).values
        threshold = torch.minimum(least[..., :1] + math.log(relative_top), least[..., -1:])
        assistant = assistant.masked_fill(logps < threshold, 0.0)
    return base + weight * assistant


def whp_logits(base: Tensor, reinforced: Tensor, alpha: float = 1.0) -> Tensor:
    r"""The generic prediction: what further training on the text raises is lowered.

    $$z = z_\mathrm{base} - \alpha\, \mathrm{ReLU}(z_\mathrm{reinforced} - z_\mathrm{base})$$

    Args:
        base: ``[..., V]`` of the model as it is.
        reinforced: ``[..., V]`` of the model trained further on the forget set.
        alpha: Factor of the raise.

    Returns:
        ``[..., V]``, at least float32.

    Example:
        >>> whp_logits(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 0.0]))
        tensor([-1.,  1.])

    References:
        Eldan, Russinovich 2023, "Who's Harry Potter?", arXiv 2310.02238, section 2.1.
    """
    base, reinforced = at_least_float32(base), at_least_float32(reinforced)
    return base - alpha * (reinforced - base).relu()
