"""Negative log-likelihood of a response, raised or lowered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.objectives.base import positive
from unlearnkit.objectives.reduction import (
    LLM_UNLEARN,
    Reduction,
    TokenObjective,
    llm_unlearn_mean,
)

_LLM_UNLEARN_DIVISOR = (
    "mean over sequences, each divided by its tokens plus one; token id 1 is taken for padding"
)


class _Likelihood(TokenObjective):
    compat_values: ClassVar[Mapping[str, str]] = {LLM_UNLEARN: _LLM_UNLEARN_DIVISOR}
    sign: ClassVar[float] = -1.0

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        reduction: Reduction | None = None,
        compat: str | None = None,
    ) -> None:
        super().__init__(weight, stream, reduction)
        self.compat = self.check_compat(compat)

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        if self.compat == LLM_UNLEARN:
            view = views[self.stream]
            return llm_unlearn_mean(view, self.token_losses(view))
        return super().forward(views)

    def token_losses(self, view: StreamView) -> Tensor:
        return self.sign * view.logps


class NLL(_Likelihood, name="nll"):
    r"""Negative log-likelihood: ordinary training on a stream.

    $$-\frac{1}{N} \sum_t \log p_\theta(y_t)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.
        compat: ``llm_unlearn`` for that repository's value.
    """


class GradientAscent(_Likelihood, name="gradient_ascent", aliases=("grad_ascent", "ga")):
    r"""Gradient ascent: lowers the likelihood of forget responses.

    $$\frac{1}{N} \sum_t \log p_\theta(y_t)$$

    Unbounded below, and uneven: some responses run away while others stay. It needs a stop, such
    as the callback ``collapse_stop``, or a ceiling:

    $$-\frac{1}{N} \sum_t \min(-\log p_\theta(y_t), c)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` (the paper) or ``sequence_sum``.
        compat: ``llm_unlearn`` for that repository's value.
        ceiling: ``c``, in nats, above 0: a token less likely than ``exp(-c)`` is left alone. None
            for none, as published.

    References:
        Jang et al. 2022, "Knowledge Unlearning", arXiv 2210.01504.
        Yao et al. 2023, "Large Language Model Unlearning", arXiv 2310.10683, L_fgt.
    """

    sign = 1.0
    paper = "Yao et al. 2023, arXiv 2310.10683"

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        reduction: Reduction | None = None,
        compat: str | None = None,
        ceiling: float | None = None,
    ) -> None:
        super().__init__(weight, stream, reduction, compat)
        if ceiling is not None:
            positive("gradient_ascent", ceiling=ceiling)
        self.ceiling = ceiling

    def token_losses(self, view: StreamView) -> Tensor:
        """Log-probabilities, from the ceiling on."""
        return view.logps if self.ceiling is None else view.logps.clamp(min=-self.ceiling)


class RetainNLL(_Likelihood, name="retain_nll"):
    """Negative log-likelihood of retain responses, as in GradDiff.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.
        compat: ``llm_unlearn`` for that repository's value.

    References:
        Liu et al. 2022, "Continual Learning and Private Unlearning", arXiv 2203.12817.
    """

    default_stream = "retain"
    paper = "Liu et al. 2022, arXiv 2203.12817"


class RandomMismatch(_Likelihood, name="random_mismatch"):
    """Negative log-likelihood of random answers to forget prompts.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``sequence_mean`` (default, as published), ``token_mean`` or ``sequence_sum``.
        compat: ``llm_unlearn`` for that repository's value.

    References:
        Yao et al. 2023, "Large Language Model Unlearning", arXiv 2310.10683, L_rdn.
    """

    default_stream = "mismatch"
    default_reduction = "sequence_mean"
    paper = "Yao et al. 2023, arXiv 2310.10683"


class IDK(_Likelihood, name="idk"):
    """Negative log-likelihood of refusals to forget prompts.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.
        compat: ``llm_unlearn`` for that repository's value.

    References:
        Maini et al. 2024, "TOFU", arXiv 2401.06121.
    """

    default_stream = "idk"
    paper = "Maini et al. 2024, arXiv 2401.06121"
