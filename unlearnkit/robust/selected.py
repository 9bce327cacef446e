"""Gradients without what many texts share, and gradients of salient neurons alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from unlearnkit.errors import RecipeError
from unlearnkit.robust.base import Robust
from unlearnkit.robust.passes import Gradients, Passes

_MORE = 8
"""Directions that are drawn beyond those that are used, which makes those exact enough."""
_RANK = 1e-6
"""Part of the largest singular value below which one counts as zero."""


class RepSelect(Robust, name="rep_select"):
    r"""Takes from the forget gradient its common directions, which relearning would follow back.

    The gradient of a weight matrix, a sum of output gradients times input activations, has the
    singular values $\sigma_1 \ge \dots$ with the directions $U$ (of output gradients) and $V$ (of
    activations). With the first $k$ of each, and $D = \mathrm{diag}(\sigma_k / \sigma_i)$, where
    $\sigma_k$ is the least of them above zero (``soft``), or $D = 0$ (``hard``),

    $$\tilde G = (I - U (I - D) U^\top)\; G\; (I - V (I - D) V^\top)$$

    Matrices only; vectors, such as norms, are left as they are. Directions are those of the
    gradient of this step, over all of its rows.

    Args:
        share: $k$ as a part of a matrix's smaller side, above 0 and below 1.
        collapse: ``soft`` or ``hard``, as above.
        directions: Whose gradient has the directions: ``forget``, or ``rest``, that of the other
            terms.
        sides: ``both``, or only ``inputs`` (activations, $V$) or ``outputs`` (gradients, $U$).
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    Raises:
        RecipeError: If ``share`` is out of range.

    References:
        Sondej and Yang 2025, "Collapse of Irrelevant Representations" (CIR), arXiv 2509.11816, and
        RepSelect, arXiv 2606.17168. The formula is that of the published code of RepSelect, with
        512 directions of models of width 4096. Its directions are of a whole epoch, under an
        adapter that relearned the forget rows first, and it trains matrices of MLP blocks by SGD:
        ``model.trainable`` names those.
    """

    paper = "Sondej and Yang 2025, arXiv 2509.11816; 2606.17168"
    whole_weights: ClassVar[bool] = True

    def __init__(
        self,
        share: float = 0.125,
        collapse: Literal["soft", "hard"] = "soft",
        directions: Literal["forget", "rest"] = "forget",
        sides: Literal["both", "inputs", "outputs"] = "both",
        streams: Sequence[str] | None = None,
    ) -> None:
        super().__init__(streams)
        if not 0 < share < 1:
            raise RecipeError(f"rep_select: share must be above 0 and below 1, found {share}")
        self.share, self.collapse, self.directions, self.sides = share, collapse, directions, sides
        self.needs_rest = directions == "rest"

    def gradient(self, passes: Passes) -> Gradients:
        """The collapsed forget gradient."""
        return self._both(passes)[0]

    def whole(self, passes: Passes) -> Gradients:
        """The collapsed forget gradient, and that of the other terms as it is."""
        forget, rest = self._both(passes)
        return forget.added(rest)

    def _both(self, passes: Passes) -> tuple[Gradients, Gradients]:
        forget, rest = passes.shared(passes.forget()), passes.shared(passes.rest())
        with torch.random.fork_rng():
            torch.manual_seed(passes.step)  # the same directions on every process
            for index, (mine, other) in enumerate(zip(forget, rest, strict=True)):
                basis = mine if self.directions == "forget" else other
                if mine is not None and basis is not None and mine.dim() == 2:
                    forget[index] = self._collapsed(mine, basis)
        return forget, rest

    def _collapsed(self, gradient: Tensor, basis: Tensor) -> Tensor:
        k = max(1, round(self.share * min(gradient.shape)))
        drawn = min(k + _MORE, *basis.shape)
        left, values, right = (each[..., :k] for each in torch.svd_lowrank(basis.float(), q=drawn))
        there = values > values[0] * _RANK
        if self.collapse == "soft":
            least = torch.where(there, values, torch.inf).min()
            kept = torch.where(there, least / values, 1.0)
        else:
            kept = torch.where(there, 0.0, 1.0)
        found = gradient.float()
        if self.sides != "inputs":
            found = found - left @ ((1 - kept)[:, None] * (left.T @ found))
        if self.sides != "outputs":
            found = found - ((found @ right) * (1 - kept)) @ right.T
        return found.to(gradient.dtype)


class SURE(Robust, name="sure"):
    r"""Trains the neurons alone that the forget terms depend on most, so that a rate can be large.

    A neuron is an entry of a parameter's first dimension, with the length of its part of the forget
    gradient. Of all neurons of all parameters those at or above the percentile are trained, by the
    gradient of all terms; the gradient of all others is zero. A change that is large where it is
    made, and nowhere else, outlives the rounding of a quantised model.

    Args:
        percentile: Below which neurons have no gradient, from 0 to 100.
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    Raises:
        RecipeError: If ``percentile`` is out of range.

    References:
        Zhang et al. 2024, "Catastrophic Failure of LLM Unlearning via Quantization" (SURE), arXiv
        2410.16454; from published code that runs it: the mask anew in each step, percentile 99.
        The larger rate is the optimizer's.
    """

    paper = "Zhang et al. 2024, arXiv 2410.16454"

    def __init__(self, percentile: float = 99.0, streams: Sequence[str] | None = None) -> None:
        super().__init__(streams)
        if not 0 <= percentile <= 100:
            raise RecipeError(f"sure: percentile must be from 0 to 100, found {percentile}")
        self.percentile = percentile

    def gradient(self, passes: Passes) -> Gradients:
        """The forget gradient of the salient neurons."""
        forget = passes.shared(passes.forget())
        return self._masked(forget, forget)

    def whole(self, passes: Passes) -> Gradients:
        """The gradient of all terms for the neurons that are salient to the forget terms."""
        forget = passes.shared(passes.forget())
        lengths = Gradients(None if each is None else each.clone() for each in forget)
        return self._masked(forget.added(passes.shared(passes.rest())), lengths)

    def _masked(self, gradients: Gradients, forget: Gradients) -> Gradients:
        lengths = [None if each is None else _by_neuron(each) for each in forget]
        found = [each for each in lengths if each is not None]
        if not found:
            return gradients.scaled(0.0)  # a step without forget rows: no neuron is salient
        known = torch.cat(found)
        place = self.percentile / 100 * (len(known) - 1)
        low, high = (
            known.kthvalue(1 + min(int(place) + more, len(known) - 1)).values for more in (0, 1)
        )
        least = low + (high - low) * (place - int(place))
        for each, length in zip(gradients, lengths, strict=True):
            if each is not None and length is not None:
                each.mul_((length >= least).view(-1, *[1] * (each.dim() - 1)))
            elif each is not None:
                each.zero_()
        return gradients


def _by_neuron(gradient: Tensor) -> Tensor:
    """``[rows]`` lengths, float32."""
    return gradient.float().flatten(1).norm(dim=1) if gradient.dim() > 1 else gradient.abs().float()
