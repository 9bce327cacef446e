"""Forget gradients at weights near the present ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unlearnkit.errors import RecipeError
from unlearnkit.robust.base import Robust, above_zero
from unlearnkit.robust.passes import Gradients, Passes


def _ascent(passes: Passes, gradients: Gradients, rho: float) -> Gradients:
    """``rho g / |g|`` of the whole step; nothing where the gradient is zero. In place."""
    passes.shared(gradients)
    norm = gradients.norm()
    return gradients.scaled(torch.where(norm > 0, rho / norm, torch.zeros_like(norm)))


class SAM(Robust, name="sam"):
    r"""Takes the forget gradient where the forget loss is worst within a small ball.

    $$\theta' = \theta + \rho\, \frac{g}{\lVert g \rVert_2}, \quad
      g = \nabla L_f(\theta), \qquad
      \nabla L = \nabla L_f(\theta') + \nabla L_r(\theta)$$

    with $L_f$ the weighted forget terms and $L_r$ all others. Costs a second pass over the forget
    rows.

    Args:
        rho: Radius of the ball, in weights, above 0.
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    Raises:
        RecipeError: If ``rho`` is not above 0.

    References:
        Fan et al. 2025, "Towards LLM Unlearning Resilient to Relearning Attacks", arXiv
        2502.05374 (NPO+SAM).
    """

    paper = "Fan et al. 2025, arXiv 2502.05374"

    def __init__(self, rho: float = 0.01, streams: Sequence[str] | None = None) -> None:
        super().__init__(streams)
        above_zero(self.registered_name, rho=rho)
        self.rho = rho

    def gradient(self, passes: Passes) -> Gradients:
        """The forget gradient at the end of one step of ascent."""
        with passes.moved(_ascent(passes, passes.forget(), self.rho)):
            return passes.forget()


class GradientPenalty(Robust, name="gradient_penalty"):
    r"""Adds the norm of the forget gradient to the forget loss, which prefers flat ground.

    $$L_f(\theta) + \lambda \lVert \nabla L_f(\theta) \rVert_2, \qquad
      \nabla \approx \left(1 - \tfrac{\lambda}{r}\right) \nabla L_f(\theta)
        + \tfrac{\lambda}{r} \nabla L_f\!\left(\theta
        + r \tfrac{\nabla L_f(\theta)}{\lVert \nabla L_f(\theta) \rVert_2}\right)$$

    The Hessian's product is a finite difference over the radius $r$, so no second derivative is
    taken: kernels without one serve too. With $\lambda = r$ it is `SAM`.

    Args:
        strength: Factor of the norm, the $\lambda$ above, above 0.
        radius: Length of the finite difference, in weights, above 0.
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    Raises:
        RecipeError: If ``strength`` or ``radius`` is not above 0.

    References:
        Fan et al. 2025, arXiv 2502.05374 (GP), for unlearning; Zhao, Zhang, Hu 2022, "Penalizing
        Gradient Norm", arXiv 2202.03599, for the finite difference.
    """

    paper = "Fan et al. 2025, arXiv 2502.05374"

    def __init__(
        self, strength: float = 0.01, radius: float = 0.01, streams: Sequence[str] | None = None
    ) -> None:
        super().__init__(streams)
        above_zero(self.registered_name, strength=strength, radius=radius)
        self.strength, self.radius = strength, radius

    def gradient(self, passes: Passes) -> Gradients:
        """The two forget gradients, weighed."""
        here = passes.forget()
        by = Gradients(None if each is None else each.clone() for each in here)
        share = self.strength / self.radius
        with passes.moved(_ascent(passes, by, self.radius)):
            there = passes.forget()
        return here.scaled(1 - share).added(there, share)


class RandomSmoothing(Robust, name="random_smoothing"):
    r"""Averages the forget gradient over weights with Gaussian noise.

    $$\frac{1}{K} \sum_k \nabla L_f(\theta + \sigma u_k), \quad u_k \sim \mathcal{N}(0, I)$$

    The noise depends on seed, step and draw alone, so that ranks and resumed runs have the same.

    Args:
        sigma: Standard deviation of the noise, in weights, above 0.
        draws: Draws of noise, K; each costs a pass over the forget rows.
        seed: Of the noise.
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    Raises:
        RecipeError: If ``sigma`` is not above 0, or ``draws`` below 1.

    References:
        Fan et al. 2025, arXiv 2502.05374 (RS).
    """

    paper = "Fan et al. 2025, arXiv 2502.05374"

    def __init__(
        self,
        sigma: float = 0.001,
        draws: int = 1,
        seed: int = 0,
        streams: Sequence[str] | None = None,
    ) -> None:
        super().__init__(streams)
        above_zero(self.registered_name, sigma=sigma)
        if draws < 1:
            raise RecipeError(f"random_smoothing: draws must be at least 1, found {draws}")
        self.sigma, self.draws, self.seed = sigma, draws, seed

    def gradient(self, passes: Passes) -> Gradients:
        """The mean over the draws."""
        found = Gradients(None for _ in passes.trained)
        for draw in range(self.draws):
            with passes.moved(self.noise(passes, draw)):
                found.added(passes.forget(), 1 / self.draws)
        return found

    def noise(self, passes: Passes, draw: int) -> Gradients:
        """What is added to the weights for one of the draws.

        Args:
            passes: The step.
            draw: Number of the draw, from 0.
        """
        generator = torch.Generator().manual_seed(
            (self.seed * 1_000_003 + passes.step) * 1_009 + draw
        )

        def drawn(parameter: Tensor) -> Tensor:
            noise = torch.randn(parameter.shape, generator=generator) * self.sigma
            return noise.to(parameter.device, parameter.dtype)

        return Gradients(drawn(parameter) for parameter in passes.trained)
