"""Forget gradients under an adversary between decoder blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from unlearnkit.errors import RecipeError
from unlearnkit.robust.base import Robust, above_zero
from unlearnkit.robust.passes import Gradients, Passes


class LAT(Robust, name="lat"):
    r"""Takes the forget gradient under states that bring the forgotten text back best.

    $$\nabla L = \nabla_\theta L_f(\theta, \delta^*) + \nabla L_r(\theta), \qquad
      \delta^* \approx \operatorname{argmax}_{\lVert \delta_t \rVert_2 \le \epsilon}
      L_f(\theta, \delta)$$

    with one vector $\delta_t$ for each token of the forget rows (of equal prompts one, in either
    layout) added to the outputs of the chosen decoder blocks, prompts included. It begins at zero,
    takes ``steps`` steps of AdamW up the forget terms' gradient, and is projected to the ball after
    each. The reference model runs without it. Costs ``steps`` more passes over the forget rows,
    whose backward half ends at the first of the blocks.

    On several processes, equal prompts on two of them have a vector each.

    Args:
        steps: Steps of the adversary, at least 1.
        epsilon: Radius of the ball around each state, above 0. States are as large as the model
            makes them: a radius that suits one model may be nothing to another.
        blocks: Numbers of the decoder blocks, from 0; by default the one at three eighths of the
            depth.
        rate: Learning rate of the adversary, above 0.
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    Raises:
        RecipeError: If a value is out of range.

    References:
        Sheshadri et al. 2024, "Latent Adversarial Training Improves Robustness to Persistent
        Harmful Behaviors in LLMs", arXiv 2407.15549. Update and defaults are those of its published
        code for unlearning books: 16 steps, radius 1.5, rate 0.05, block 12 of 32.
    """

    paper = "Sheshadri et al. 2024, arXiv 2407.15549"
    perturbs: ClassVar[bool] = True

    def __init__(
        self,
        steps: int = 16,
        epsilon: float = 1.5,
        blocks: Sequence[int] | None = None,
        rate: float = 0.05,
        streams: Sequence[str] | None = None,
    ) -> None:
        super().__init__(streams)
        above_zero(self.registered_name, epsilon=epsilon, rate=rate)
        if steps < 1:
            raise RecipeError(f"lat: steps must be at least 1, found {steps}")
        if blocks is not None and (not blocks or min(blocks) < 0):
            raise RecipeError(
                f"lat: blocks must be numbers of decoder blocks, from 0; found {list(blocks)}"
            )
        self.steps, self.epsilon, self.rate = steps, epsilon, rate
        self.blocks = None if blocks is None else tuple(sorted(set(blocks)))

    def gradient(self, passes: Passes) -> Gradients:
        """The forget gradient under the adversary's last vectors."""
        with passes.perturbed(self.blocks) as perturbation:
            adversary: torch.optim.Optimizer | None = None
            for _ in range(self.steps):
                slopes = passes.slopes(perturbation)
                if not slopes:
                    break  # no forget rows on this process
                if adversary is None:
                    adversary = torch.optim.AdamW(perturbation.vectors, lr=self.rate, maximize=True)
                for vectors, slope in zip(perturbation.vectors, slopes, strict=True):
                    vectors.grad = slope.nan_to_num_(0.0, 0.0, 0.0)
                adversary.step()
                with torch.no_grad():
                    for vectors in perturbation.vectors:
                        length = vectors.norm(dim=-1, keepdim=True)
                        vectors.div_((length / self.epsilon).clamp(min=1))
            for vectors in perturbation.vectors:
                vectors.requires_grad_(False)
            return passes.forget()
