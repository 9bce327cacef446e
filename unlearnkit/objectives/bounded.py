"""Bounded losses on predictions: Jensen-Shannon divergences and uniform targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.functional.bounded import jensen_shannon, jensun, unilogit
from unlearnkit.functional.core import token_logps
from unlearnkit.functional.preference import answer_preservation
from unlearnkit.objectives.base import Objective, positive
from unlearnkit.objectives.pairing import partners, sum_by_partner
from unlearnkit.objectives.reduction import Reduction, TokenObjective


class JensUn(TokenObjective, name="jensun"):
    r"""Jensen-Shannon divergence to a refusal, bounded from both sides.

    $$\frac{1}{N} \sum_t \mathrm{JS}(p_\theta \,\|\, e_{r_t}), \qquad
      \mathrm{JS}(p \| e_k) = \log 2 + \tfrac{1}{2} \left[p_k \log p_k
      - (1 + p_k) \log(1 + p_k)\right]$$

    with $r_t$ the refusal's tokens: by default the responses of a stream of refusals.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads: refusals, or with ``tokens`` the forget stream.
        tokens: Token ids of a refusal that is laid over each response of the stream, again and
            again where it is shorter, as the published code does; by default the stream's own.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    Raises:
        RecipeError: If ``tokens`` is empty or holds a negative id.

    References:
        Singh et al. 2025, "Unlearning That Lasts" (JensUn), arXiv 2509.02820; ``tokens`` as in
        the code at github.com/nmndeep/JensUn-Unlearning.
    """

    default_stream = "idk"
    paper = "Singh et al. 2025, arXiv 2509.02820"

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        tokens: Sequence[int] | None = None,
        reduction: Reduction | None = None,
    ) -> None:
        super().__init__(weight, stream or (None if tokens is None else "forget"), reduction)
        if tokens is not None and (not tokens or min(tokens) < 0):
            raise RecipeError(f"jensun: tokens are ids from 0 and at least one, found {tokens}")
        self.tokens = None if tokens is None else tuple(tokens)
        if tokens is not None:
            self.needs = frozenset({"logits"})

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` divergences."""
        if self.tokens is None:
            return jensun(view.logps)
        refusal = torch.tensor(self.tokens, device=view.target.device)
        return jensun(token_logps(view.logits, refusal[view.token_in_sequence % len(refusal)]))


class RetainJS(TokenObjective, name="retain_js"):
    r"""Keeps the policy near the reference by a Jensen-Shannon divergence, which is bounded.

    $$\frac{1}{N} \sum_t \mathrm{JS}(p_\theta \,\|\, p_\mathrm{ref})$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    References:
        Singh et al. 2025, "Unlearning That Lasts" (JensUn), arXiv 2509.02820.
    """

    default_stream = "retain"
    needs = frozenset({"logits", "reference"})
    paper = "Singh et al. 2025, arXiv 2509.02820"

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` divergences."""
        return jensen_shannon(view.logits, view.ref_logits)


class Unilogit(TokenObjective, name="unilogit"):
    r"""Distils the model from itself, with the target token at the uniform probability.

    $$\frac{1}{N} \sum_t \mathrm{KL}(p_\theta \,\|\, \mathrm{sg}[q_t]), \quad
      q_t(y_t) = \tfrac{1}{V}, \quad q_t(v) \propto p_\theta(v) \text{ for } v \neq y_t$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    References:
        Vasilev et al. 2025, "Unilogit", arXiv 2505.06027.
    """

    needs = frozenset({"logits"})
    paper = "Vasilev et al. 2025, arXiv 2505.06027"

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` divergences."""
        return unilogit(view.logits, view.target)


class AnswerPreservation(Objective, name="answer_preservation"):
    r"""Keeps answers to retain prompts likelier than refusals: AP, the second term of IDK+AP.

    $$-\frac{1}{\beta} \frac{1}{S} \sum_i \log\sigma\!\left(-\beta
      \log\frac{\pi_\theta(r_i|x_i)}{\pi_\theta(y_i|x_i)}\right)$$

    with $r_i$ a refusal to the retain prompt $x_i$.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream of answers.
        refusals: Name of the stream of refusals to the same prompts, paired by row.
        beta: Inverse temperature, above 0.

    References:
        Yuan et al. 2024, "A Closer Look at Machine Unlearning for LLMs", arXiv 2410.08109.
    """

    default_stream = "retain"
    paper = "Yuan et al. 2024, arXiv 2410.08109"
    ranges = {"beta": {"log": [0.02, 0.5]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        refusals: str = "retain_idk",
        beta: float = 0.1,
    ) -> None:
        super().__init__(weight, stream)
        positive("answer_preservation", beta=beta)
        self.refusals, self.beta = refusals, beta

    @property
    def streams(self) -> tuple[str, ...]:
        """The answers and the refusals."""
        return (self.stream, self.refusals)

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Mean over pairs."""
        answers, refusals = views[self.stream], views[self.refusals]
        partner = partners(answers, refusals, self.streams)
        refused = sum_by_partner(refusals.row_sum(refusals.logps), partner, answers)
        answered = answers.row_sum(answers.logps)
        return answers.sequence_mean(answer_preservation(answered, refused, self.beta))
