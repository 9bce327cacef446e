"""Forget gradients projected by the gradient of the other terms."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unlearnkit.robust.base import Robust
from unlearnkit.robust.passes import Gradients, Passes


class GRU(Robust, name="gru"):
    r"""Takes from the forget gradient what would raise the retain loss.

    $$\tilde g = g_f - \frac{\min(0, \langle g_f, g_r \rangle)}{\lVert g_r \rVert_2^2}\, g_r$$

    the nearest gradient whose product with that of the other terms, $g_r$, is not negative. As
    published, $g_r$ is measured and not followed. The published moving average of $g_r$ over steps
    is left out: $g_r$ is that of the step, over all of its rows.

    Args:
        follow_retain: Add the gradient of the other terms to the update.
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    References:
        Wang et al. 2025, "GRU: Mitigating the Trade-off between Unlearning and Retention for
        LLMs", arXiv 2503.09117; the projection as in its code in open-unlearning.
    """

    paper = "Wang et al. 2025, arXiv 2503.09117"
    needs_rest = True

    def __init__(self, follow_retain: bool = False, streams: Sequence[str] | None = None) -> None:
        super().__init__(streams)
        self.follow_retain = follow_retain

    def gradient(self, passes: Passes) -> Gradients:
        """The projected forget gradient."""
        return self._projected(passes)[0]

    def whole(self, passes: Passes) -> Gradients:
        """The projected gradient, and the other terms' where they are followed."""
        forget, rest = self._projected(passes)
        return forget.added(rest) if self.follow_retain else forget

    def _projected(self, passes: Passes) -> tuple[Gradients, Gradients]:
        forget, rest = passes.shared(passes.forget()), passes.shared(passes.rest())
        against, size = forget.dot(rest).clamp(max=0), rest.dot(rest)
        factor = torch.where(size > 0, against / size, torch.zeros_like(size))
        return forget.added(rest, -factor), rest
