"""Forget gradients projected by the gradient of the other terms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unlearnkit.errors import RecipeError
from unlearnkit.robust.base import Robust
from unlearnkit.robust.passes import Gradients, Passes


class GRU(Robust, name="gru"):
    r"""Takes from the forget gradient what would raise the retain loss.

    $$\tilde g = g_f - \frac{\min(0, \langle g_f, g_r \rangle)}{\lVert g_r \rVert_2^2}\, g_r$$

    the nearest gradient whose product with that of the other terms, $g_r$, is not negative. As
    published, $g_r$ is measured and not followed. It may be averaged over steps, from 0 on:

    $$g_r \leftarrow \gamma\, g_r(\text{step}) + (1 - \gamma)\, g_r$$

    Args:
        follow_retain: Add the gradient of the other terms to the update; of the step alone.
        recent: $\gamma$, the share of the step in $g_r$; by default $g_r$ is the step's own. The
            authors take 0.8. Below 1 it keeps a gradient more in memory and in checkpoints.
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    References:
        Wang et al. 2025, "GRU: Mitigating the Trade-off between Unlearning and Retention for
        LLMs", arXiv 2503.09117; the projection and the average as in its code in open-unlearning.

    Raises:
        RecipeError: If ``recent`` is not above 0 and at most 1.
    """

    paper = "Wang et al. 2025, arXiv 2503.09117"
    needs_rest = True

    def __init__(
        self,
        follow_retain: bool = False,
        streams: Sequence[str] | None = None,
        recent: float = 1.0,
    ) -> None:
        super().__init__(streams)
        if not 0 < recent <= 1:
            raise RecipeError(f"gru: recent must be above 0 and at most 1, found {recent}")
        self.follow_retain, self.recent = follow_retain, recent
        self._mean = Gradients()

    def gradient(self, passes: Passes) -> Gradients:
        """The projected forget gradient."""
        return self._projected(passes)[0]

    def whole(self, passes: Passes) -> Gradients:
        """The projected gradient, and the other terms' where they are followed."""
        forget, rest = self._projected(passes)
        return forget.added(rest) if self.follow_retain else forget

    def state(self) -> list[Tensor | None]:
        """The average of the gradients of the other terms."""
        return list(self._mean)

    def resume(self, state: Sequence[Tensor | None]) -> None:
        """Takes the average of an interrupted run."""
        self._mean = Gradients(state)

    def _projected(self, passes: Passes) -> tuple[Gradients, Gradients]:
        forget, rest = passes.shared(passes.forget()), passes.shared(passes.rest())
        mean = rest if self.recent == 1 else self._averaged(rest)
        against, size = forget.dot(mean).clamp(max=0), mean.dot(mean)
        factor = torch.where(size > 0, against / size, torch.zeros_like(size))
        return forget.added(mean, -factor), rest

    def _averaged(self, rest: Gradients) -> Gradients:
        finite = rest.dot(rest).isfinite()  # a step that the scaler refuses leaves no trace
        before = self._mean or [None] * len(rest)
        mean = Gradients()
        for new, old in zip(rest, before, strict=True):
            if new is None:
                mean.append(old)
                continue
            old = torch.zeros_like(new) if old is None else old.to(new)
            mean.append(torch.where(finite, self.recent * new + (1 - self.recent) * old, old))
        self._mean = mean
        return mean
