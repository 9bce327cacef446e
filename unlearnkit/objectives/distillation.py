"""Self-distillation from an adjusted reference."""

from __future__ import annotations

from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.functional.distillation import undial
from unlearnkit.objectives.reduction import Reduction, TokenObjective


class UNDIAL(TokenObjective, name="undial"):
    r"""Cross-entropy to the reference with the target's logit lowered.

    $$-\frac{1}{N} \sum_t \sum_v q_{tv} \log p_\theta(v), \quad
      q_t = \mathrm{softmax}(z_{\mathrm{ref},t} - \beta\, e_{y_t})$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        beta: How far the target's logit is lowered.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    References:
        Dong et al. 2024, "UNDIAL: Self-Distillation with Adjusted Logits", arXiv 2402.10052.
    """

    needs = frozenset({"reference", "logits"})
    paper = "Dong et al. 2024, arXiv 2402.10052"
    ranges = {"beta": {"log": [1.0, 30.0]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        beta: float = 10.0,
        reduction: Reduction | None = None,
    ) -> None:
        super().__init__(weight, stream, reduction)
        self.beta = beta

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` cross-entropies."""
        return undial(view.logits, view.ref_logits, view.target, self.beta)
