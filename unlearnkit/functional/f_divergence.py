"""Loss adjustment by f-divergences (FLAT)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import softplus

_Function: TypeAlias = Callable[[Tensor], Tensor]

Divergence = Literal[
    "total_variation",
    "kl",
    "reverse_kl",
    "jeffrey",
    "squared_hellinger",
    "pearson",
    "neyman",
    "jensen_shannon",
]


def flat(
    template_probability: Tensor,
    forget_probability: Tensor,
    divergence: Divergence = "total_variation",
) -> Tensor:
    r"""Variational f-divergence between template (refusal) and forget responses.

    $$-g^*(P_e) + f^*(g^*(P_f))$$

    where $P$ is the mean probability of a response's tokens, $f^*$ the convex conjugate of the
    divergence and $g^*$ its optimal variational function:

    | divergence | $g^*(v)$ | $f^*(g^*(v))$ |
    |---|---|---|
    | `total_variation` | $\tanh(v)/2$ | $\tanh(v)/2$ |
    | `kl` | $v$ | $e^{v-1}$ |
    | `reverse_kl` | $-e^{v}$ | $-1-v$ |
    | `jeffrey` | $v$ | $v-2+W(e^{1-v})+1/W(e^{1-v})$ |
    | `squared_hellinger` | $1-e^{v}$ | $e^{-v}-1$ |
    | `pearson` | $v$ | $v^2/4+v$ |
    | `neyman` | $1-e^{v}$ | $2-2e^{v/2}$ |
    | `jensen_shannon` | $\log 2-\log(1+e^{-v})$ | $v+\log(1+e^{-v})-\log 2$ |

    Args:
        template_probability: ``[...]`` $P_e$, of the response to be learned.
        forget_probability: ``[...]`` $P_f$, of the response to be unlearned.
        divergence: One of the table.

    Returns:
        ``[...]``.

    Raises:
        ValueError: For a divergence that is not in the table.

    Example:
        >>> flat(torch.tensor(0.25), torch.tensor(0.25))
        tensor(0.)

    References:
        Wang et al. 2024, "LLM Unlearning via Loss Adjustment with Only Forget Data" (FLAT),
        arXiv 2410.11143. Nowozin et al. 2016, "f-GAN", arXiv 1606.00709, table 2 (conjugates).
    """
    return template_term(template_probability, divergence) + forget_term(
        forget_probability, divergence
    )


def template_term(probability: Tensor, divergence: Divergence) -> Tensor:
    """``-g*(P)``: falls as the response becomes likely. ``[...] -> [...]``."""
    return -_terms(divergence)[0](probability)


def forget_term(probability: Tensor, divergence: Divergence) -> Tensor:
    """``f*(g*(P))``: falls as the response becomes unlikely. ``[...] -> [...]``."""
    return _terms(divergence)[1](probability)


def _terms(divergence: str) -> tuple[_Function, _Function]:
    if divergence not in _TERMS:
        raise ValueError(f"divergence is one of {', '.join(_TERMS)}, found {divergence!r}")
    return _TERMS[divergence]


def _identity(v: Tensor) -> Tensor:
    return v


def _half_tanh(v: Tensor) -> Tensor:
    return 0.5 * v.tanh()


def _one_minus_exp(v: Tensor) -> Tensor:
    return -v.expm1()


def _jeffrey_conjugate(v: Tensor) -> Tensor:
    # With f(u) = (u - 1) log u the supremum of u v - f(u) is at log u = w where
    # w + 1 - exp(-w) = v; by the envelope theorem u is constant for the gradient.
    fixed = v.detach()
    w = fixed / 2
    for _ in range(8):
        decay = (-w).exp()
        w = w - (w + 1 - decay - fixed) / (1 + decay)
    u = w.exp()
    return v * u - (u - 1) * w


_TERMS: dict[str, tuple[_Function, _Function]] = {
    "total_variation": (_half_tanh, _half_tanh),
    "kl": (_identity, lambda v: (v - 1).exp()),
    "reverse_kl": (lambda v: -v.exp(), lambda v: -1 - v),
    "jeffrey": (_identity, _jeffrey_conjugate),
    "squared_hellinger": (_one_minus_exp, lambda v: (-v).expm1()),
    "pearson": (_identity, lambda v: v.square() / 4 + v),
    "neyman": (_one_minus_exp, lambda v: -2 * torch.expm1(v / 2)),
    "jensen_shannon": (
        lambda v: math.log(2) - softplus(-v),
        lambda v: v + softplus(-v) - math.log(2),
    ),
}
