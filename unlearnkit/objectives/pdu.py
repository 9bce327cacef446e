"""Primal-dual unlearning."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.functional.primal_dual import dual_step, pdu
from unlearnkit.objectives.base import Objective


class PDU(Objective, name="pdu"):
    r"""Flattens forget predictions while the retain loss is held below a bound.

    $$\frac{1}{N} \sum_t \left(\max_v z_{tv} - \bar z_t\right)^2
      + \lambda \left(C_\mathrm{retain} - \epsilon\right), \qquad
      \lambda \leftarrow \max(0, \lambda + \eta\, (C_\mathrm{retain} - \epsilon))$$

    with $C_\mathrm{retain}$ the token mean of the retain stream's negative log-likelihood. The
    dual weight moves once after each optimiser step, by the retain loss of the whole step.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream of forget responses.
        retain: Name of the stream of retain responses.
        gamma: Factor of the first term.
        retain_bound: $\epsilon$ in nats a token; above the retain loss at the start.
        dual: $\lambda$ at the start, at least 0.
        dual_step_size: $\eta$, at least 0.
        dual_warmup: Optimiser steps before the dual weight begins to move.

    References:
        Entesari et al. 2025, "Constrained Entropic Unlearning" (PDU), arXiv 2506.05314.
    """

    needs = frozenset({"logits"})
    acts_after = "dual_warmup"
    paper = "Entesari et al. 2025, arXiv 2506.05314"
    ranges = {"retain_bound": {"log": [0.05, 2.0]}, "dual_step_size": {"log": [0.5, 50.0]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        retain: str = "retain",
        gamma: float = 1.0,
        retain_bound: float = 0.3,
        dual: float = 100.0,
        dual_step_size: float = 5.0,
        dual_warmup: int = 0,
    ) -> None:
        super().__init__(weight, stream)
        for key, value in (("dual", dual), ("dual_step_size", dual_step_size)):
            if value < 0:
                raise RecipeError(f"pdu: {key} must be at least 0, found {value}")
        self.retain = retain
        self.gamma = gamma
        self.retain_bound = retain_bound
        # Kept where the losses are: a number would have to be waited for after each step.
        self._dual = torch.tensor(float(dual), dtype=torch.float64)
        self.dual_step_size = dual_step_size
        self.dual_warmup = dual_warmup
        self._steps = 0
        self._retain: list[Tensor] = []

    @property
    def dual(self) -> float:
        """The present dual weight."""
        return self._dual.item()

    @property
    def streams(self) -> tuple[str, ...]:
        """The forget and the retain stream."""
        return (self.stream, self.retain)

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """The Lagrangian at the present dual weight."""
        forget, retain = views[self.stream], views[self.retain]
        nll = -retain.logps
        if self.training and torch.is_grad_enabled():
            self._retain.append(torch.stack([nll.detach().sum(), nll.new_tensor(len(nll))]))
        flatness = forget.mean(pdu(forget.logits))
        dual = self._dual.to(nll, non_blocking=True)
        # The bound is taken from each token: a constant would count once in each part of a step.
        return self.gamma * flatness + dual * retain.mean(nll - self.retain_bound)

    def after_step(self, mean_over_ranks: Callable[[Tensor], Tensor]) -> None:
        """Moves the dual weight by the step's retain loss, the mean over all of its tokens.

        Args:
            mean_over_ranks: Averages a tensor over all processes.
        """
        if not self._retain:
            return
        total, tokens = mean_over_ranks(torch.stack(self._retain).sum(0)).unbind()
        self._retain.clear()
        self._steps += 1
        if self._steps <= self.dual_warmup:
            return
        wide = torch.float32 if total.device.type == "mps" else torch.float64
        dual = self._dual.to(total.device, wide, non_blocking=True)
        excess = total.to(wide) / tokens - self.retain_bound
        moved = dual_step(dual, self.dual_step_size, excess)
        self._dual = torch.where(tokens > 0, moved, dual)

    def get_extra_state(self) -> Tensor:
        """Dual weight and step, as a float64 tensor that no change of the model's dtype rounds."""
        return torch.tensor([self.dual, self._steps], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Restores what `get_extra_state` gave."""
        self._dual, self._steps = state[0].cpu().double(), int(state[1])
