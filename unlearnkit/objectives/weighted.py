"""Gradient ascent with a weight for each token."""

from __future__ import annotations

from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.functional import weighted as functional
from unlearnkit.objectives.reduction import Reduction, TokenObjective


class WeightedGradientAscent(TokenObjective, name="weighted_gradient_ascent", aliases=("wga",)):
    r"""Gradient ascent that weighs each token by its probability.

    $$\frac{1}{N} \sum_t \mathrm{sg}[p_\theta(y_t)^{\beta}] \, \log p_\theta(y_t)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        beta: Exponent of the weight; 0 gives gradient ascent.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    References:
        Wang et al. 2025, "Rethinking LLM Unlearning Objectives" (WGA), arXiv 2502.19301.
    """

    paper = "Wang et al. 2025, arXiv 2502.19301"
    ranges = {"beta": {"log": [0.1, 10.0]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        beta: float = 1.0,
        reduction: Reduction | None = None,
    ) -> None:
        super().__init__(weight, stream, reduction)
        self.beta = beta

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` weighted log-probabilities."""
        return functional.wga(view.logps, self.beta)


class SatImp(TokenObjective, name="satimp"):
    r"""Gradient ascent weighted by saturation and importance.

    $$\frac{1}{N} \sum_t \mathrm{sg}[p_\theta(y_t)^{\beta_1} (1-p_\theta(y_t))^{\beta_2}] \,
      \log p_\theta(y_t)$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        beta1: Exponent of the saturation weight.
        beta2: Exponent of the importance weight.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    References:
        Yang et al. 2025, "Exploring Criteria of Loss Reweighting" (SatImp), arXiv 2505.11953.
    """

    paper = "Yang et al. 2025, arXiv 2505.11953"
    ranges = {"beta1": {"log": [0.5, 20.0]}, "beta2": {"log": [0.1, 5.0]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        beta1: float = 5.0,
        beta2: float = 1.0,
        reduction: Reduction | None = None,
    ) -> None:
        super().__init__(weight, stream, reduction)
        self.beta1 = beta1
        self.beta2 = beta2

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` weighted log-probabilities."""
        return functional.satimp(view.logps, self.beta1, self.beta2)
