"""Objectives that move probability from the target token to the others."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.functional import displacement as functional
from unlearnkit.objectives.base import Objective
from unlearnkit.objectives.reduction import TokenObjective


class Unlikelihood(TokenObjective, name="unlikelihood"):
    r"""Raises the probability of any other token than the target.

    $$-\frac{1}{N} \sum_t \log(1 - p_\theta(y_t))$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    References:
        Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training",
        arXiv 1908.04319.
    """

    needs = frozenset({"logits"})
    paper = "Welleck et al. 2020, arXiv 1908.04319"

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` unlikelihoods."""
        return functional.unlikelihood(view.logits, view.target)


class IHL(TokenObjective, name="ihl"):
    r"""Inverted hinge loss: the target gives way to the best other token.

    $$\frac{1}{N} \sum_t \left[1 + p_\theta(y_t) - \max_{v \ne y_t} p_\theta(v)\right]$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    References:
        Cha et al. 2024, "Towards Robust and Parameter-Efficient Knowledge Unlearning" (LoKU),
        arXiv 2408.06621.
    """

    needs = frozenset({"logits"})
    paper = "Cha et al. 2024, arXiv 2408.06621"

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` inverted hinges."""
        return functional.ihl(view.logits, view.target)


class CEU(Objective, name="ceu"):
    r"""Cross-entropy to the model's own distribution with the target token left out.

    $$-\frac{1}{N'} \sum_t \sum_v q_{tv} \log p_\theta(v), \quad
      q_t = \mathrm{sg}[\mathrm{softmax}(z_t \text{ with } z_{y_t} = -\infty)]$$

    over the $N'$ tokens that are left when the first ones of each response are skipped; 0 when
    none is left.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        ignore_first_n: Tokens skipped at the start of each response.

    References:
        Yang 2025, "CE-U: Cross Entropy Unlearning", arXiv 2503.01224.
    """

    needs = frozenset({"logits"})
    paper = "Yang 2025, arXiv 2503.01224"

    def __init__(
        self, weight: float = 1.0, stream: str | None = None, ignore_first_n: int = 1
    ) -> None:
        super().__init__(weight, stream)
        if ignore_first_n < 0:
            raise RecipeError(f"ceu: ignore_first_n must be at least 0, found {ignore_first_n}")
        self.ignore_first_n = ignore_first_n
        # A part does not know how many responses of the other parts are shorter than that; none
        # is shorter than one token.
        self.additive = ignore_first_n <= 1

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Mean over the tokens that are kept."""
        view = views[self.stream]
        kept = view.token_in_sequence >= self.ignore_first_n
        losses = functional.ceu(view.logits, view.target) * kept
        # The view knows how many tokens the whole step has, not how many are kept: that is all
        # but n of each sequence, and n less what the short ones lack.
        lacking = sum(max(0, self.ignore_first_n - count) for count in view.counts)
        share = view.token_share - self.ignore_first_n * view.sequence_share + lacking
        return losses.sum() / share if share > 0 else losses.sum()
