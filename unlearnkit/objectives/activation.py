"""Objectives on hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.functional.activation import control_vector, rmu
from unlearnkit.functional.core import at_least_float32
from unlearnkit.objectives.reduction import Reduction, TokenObjective

_OPEN_UNLEARNING = "open-unlearning"
_BROADCAST = (
    "mean of the sequences' sums times the mean of 1/length: a [S] vector divided by a [S, 1] "
    "column; equal for responses of one length"
)


class _Hidden(TokenObjective):
    compat_values: ClassVar[Mapping[str, str]] = {_OPEN_UNLEARNING: _BROADCAST}
    default_reduction = "sequence_mean"

    def __init__(
        self,
        weight: float,
        stream: str | None,
        layer: int,
        reduction: Reduction | None,
        compat: str | None,
    ) -> None:
        super().__init__(weight, stream, reduction)
        if layer < 0:
            raise RecipeError(
                f"{self.registered_name}: layer counts decoder blocks from 0, found {layer}"
            )
        self.layer = layer
        self.compat = self.check_compat(compat)
        self.additive = compat is None

    @property
    def layers(self) -> tuple[int, ...]:
        """The decoder block whose output is read."""
        return (self.layer,)

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        if self.compat is None:
            return super().forward(views)
        view = views[self.stream]
        sums = view.row_sum(self.token_losses(view))
        return view.sequence_mean(sums) * view.sequence_mean(1 / view.lengths.to(sums.dtype))


class RMU(_Hidden, name="rmu"):
    r"""Steers hidden states of forget responses to a random direction.

    $$\frac{1}{S} \sum_i \frac{1}{|y_i|} \sum_t \frac{1}{d} \lVert h_t - c\, u \rVert_2^2$$

    with $h$ the output of a decoder block at the response tokens and $u$ a random unit vector
    with non-negative components. The paper adds `RetainHidden` and trains three blocks only.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        layer: Decoder block, from 0, whose output is steered.
        steering: Norm $c$ of the vector; it has to exceed the norm of the hidden states.
        seed: Draws the direction; give each topic its own.
        reduction: ``sequence_mean`` (default), ``token_mean`` or ``sequence_sum``.
        compat: ``open-unlearning`` for that repository's value.

    References:
        Li et al. 2024, "The WMDP Benchmark" (RMU), arXiv 2403.03218.
    """

    needs = frozenset({"hidden"})
    paper = "Li et al. 2024, arXiv 2403.03218"
    ranges = {"steering": {"log": [1.0, 100.0]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        layer: int = 7,
        steering: float = 6.5,
        seed: int = 0,
        reduction: Reduction | None = None,
        compat: str | None = None,
    ) -> None:
        super().__init__(weight, stream, layer, reduction, compat)
        self.steering = steering
        self.seed = seed
        self._vector: Tensor | None = None

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` squared distances to the control vector."""
        hidden = view.hidden(self.layer)
        # Moved once: each copy from the host would be waited for.
        self._vector = self.control_vector(hidden.shape[-1]).to(hidden.device, non_blocking=True)
        return rmu(hidden, self._vector)

    def control_vector(self, size: int) -> Tensor:
        """``[H]`` the vector that hidden states are steered to."""
        if self._vector is None:
            self._vector = control_vector(size, self.steering, self.seed)
        return self._vector


class AdaptiveRMU(_Hidden, name="adaptive_rmu"):
    r"""Steers hidden states to a random direction, as far as their own norm asks for.

    $$\frac{1}{S} \sum_i \frac{1}{|y_i|} \sum_t \frac{1}{d}
      \lVert h_t - s\, \lVert h_{\mathrm{ref},t} \rVert_2\, u \rVert_2^2$$

    with $u$ the unit vector of `RMU`. The steering need not be fitted to the block's states.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        layer: Decoder block, from 0, whose output is steered.
        scale: Factor $s$ of the norm that the reference has at the token.
        seed: Draws the direction; give each topic its own.
        reduction: ``sequence_mean`` (default), ``token_mean`` or ``sequence_sum``.

    References:
        Dang et al. 2024, "On Effects of Steering Latent Representation for LLM Unlearning",
        arXiv 2408.06223. Its code takes one norm, the mean over the first batch of a topic.
    """

    needs = frozenset({"hidden", "reference"})
    paper = "Dang et al. 2024, arXiv 2408.06223"
    compat_values: ClassVar[Mapping[str, str]] = {}
    ranges = {"scale": {"log": [1.0, 10.0]}}

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        layer: int = 7,
        scale: float = 5.0,
        seed: int = 0,
        reduction: Reduction | None = None,
    ) -> None:
        super().__init__(weight, stream, layer, reduction, None)
        self.scale, self.seed = scale, seed
        self._unit: Tensor | None = None

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` squared distances to the scaled direction."""
        hidden, before = view.hidden(self.layer), view.ref_hidden(self.layer)
        if self._unit is None:
            self._unit = control_vector(hidden.shape[-1], 1.0, self.seed)
        self._unit = self._unit.to(hidden.device, non_blocking=True)
        norms = at_least_float32(before).norm(dim=-1, keepdim=True)
        return rmu(hidden, self.scale * norms * self._unit)


class RetainHidden(_Hidden, name="retain_hidden"):
    r"""Keeps hidden states of retain responses where the reference has them: RMU's second term.

    $$\frac{1}{S} \sum_i \frac{1}{|y_i|} \sum_t
      \frac{1}{d} \lVert h_t - h_{\mathrm{ref},t} \rVert_2^2$$

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        layer: Decoder block, from 0, whose output is kept.
        reduction: ``sequence_mean`` (default), ``token_mean`` or ``sequence_sum``.
        compat: ``open-unlearning`` for that repository's value.

    References:
        Li et al. 2024, "The WMDP Benchmark" (RMU), arXiv 2403.03218.
    """

    default_stream = "retain"
    needs = frozenset({"hidden", "reference"})
    paper = "Li et al. 2024, arXiv 2403.03218"

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        layer: int = 7,
        reduction: Reduction | None = None,
        compat: str | None = None,
    ) -> None:
        super().__init__(weight, stream, layer, reduction, compat)

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` squared distances to the reference."""
        return rmu(view.hidden(self.layer), view.ref_hidden(self.layer))
