"""Forget gradients along an attack that relearns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from unlearnkit.errors import RecipeError
from unlearnkit.robust.base import Robust, above_zero
from unlearnkit.robust.passes import Gradients, Passes


class TAR(Robust, name="tar"):
    r"""Takes the forget gradient at weights that an attacker has trained on the forget rows.

    $$\theta_0 = \theta, \quad \theta_{i+1} = \theta_i - \mathrm{Adam}(\nabla
      \mathrm{NLL}_f(\theta_i)), \qquad \nabla L = s \sum_{i=1}^{K} e^{\lambda (i - K)}
      \nabla L_f(\theta_i) + \nabla L_r(\theta)$$

    of first order: the gradient at $\theta_i$ is handed on as that at $\theta$. The attacker
    minimises the negative log-likelihood of the forget rows' responses; the forget term is what
    shall still hold after it, such as ``uniform_kl`` (most entropy). Costs two passes over the
    forget rows for each of the ``steps``. What is logged of the forget terms is after the first of
    them.

    Args:
        steps: Steps of the attacker, K, at least 1.
        rate: Learning rate of the attacker, above 0.
        scale: Factor of the forget gradient, above 0.
        decay: $\lambda$, which weighs late steps more; 0 weighs all alike.
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    Raises:
        RecipeError: If a value is out of range.

    References:
        Tamirisa et al. 2024, "Tamper-Resistant Safeguards for Open-Weight LLMs" (TAR), arXiv
        2408.00761; sum, weights and defaults are those of its published code, with 64 steps, rates
        drawn from 2e-6 to 4e-5, scale 4 and lambda 1/16. Here the loop is small; attacker and
        forget term see the rows of the step (there, other ones); the rate is one.
    """

    paper = "Tamirisa et al. 2024, arXiv 2408.00761"

    def __init__(
        self,
        steps: int = 4,
        rate: float = 4e-5,
        scale: float = 4.0,
        decay: float = 0.0625,
        streams: Sequence[str] | None = None,
    ) -> None:
        super().__init__(streams)
        above_zero(self.registered_name, rate=rate, scale=scale)
        if steps < 1:
            raise RecipeError(f"tar: steps must be at least 1, found {steps}")
        if not 0 <= decay < float("inf"):
            raise RecipeError(f"tar: decay must be 0 or more, and finite, found {decay}")
        self.steps, self.rate, self.scale, self.decay = steps, rate, scale, decay

    def gradient(self, passes: Passes) -> Gradients:
        """The weighed sum of forget gradients along the attack."""
        found = Gradients(None for _ in passes.trained)
        change = [nn.Parameter(torch.zeros_like(each)) for each in passes.trained]
        attacker = torch.optim.Adam(change, lr=self.rate)
        weights = torch.exp(self.decay * (torch.arange(1.0, self.steps + 1) - self.steps))
        for weight in (self.scale * weights).tolist():
            with passes.moved(_copied(change)):
                slopes = passes.shared(passes.relearn())
            for each, slope in zip(change, slopes, strict=True):
                each.grad = slope
            attacker.step()
            with passes.moved(_copied(change)):
                found.added(passes.forget(), weight)
        return found


def _copied(change: Sequence[nn.Parameter]) -> Gradients:
    return Gradients(each.detach().clone() for each in change)
