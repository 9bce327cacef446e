"""The three averages of a loss over response tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.objectives.base import Objective

Reduction = Literal["token_mean", "sequence_mean", "sequence_sum"]

LLM_UNLEARN = "llm_unlearn"
_LLM_UNLEARN_PAD_ID = 1


def reduce(view: StreamView, x: Tensor, reduction: Reduction) -> Tensor:
    """Average of ``[N]`` token losses over the optimiser step.

    Args:
        view: The stream the tokens belong to.
        x: ``[N]``.
        reduction: ``token_mean``: over all tokens, so long responses weigh more;
            ``sequence_mean``: over sequences, of the mean over each one's tokens;
            ``sequence_sum``: over sequences, of the sum over each one's tokens.
    """
    if reduction == "token_mean":
        return view.mean(x)
    return view.sequence_mean(view.row_mean(x) if reduction == "sequence_mean" else view.row_sum(x))


class TokenObjective(Objective):
    """An objective with one loss for each response token.

    Args:
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean``, ``sequence_mean`` or ``sequence_sum``; by default as published.

    Raises:
        RecipeError: For another reduction.
    """

    default_reduction: ClassVar[Reduction] = "token_mean"

    def __init__(
        self,
        weight: float = 1.0,
        stream: str | None = None,
        reduction: Reduction | None = None,
    ) -> None:
        super().__init__(weight, stream)
        self.reduction: Reduction = reduction or self.default_reduction
        if self.reduction not in get_args(Reduction):
            raise RecipeError(
                f"{self.registered_name or type(self).__name__}: reduction is one of "
                f"{', '.join(get_args(Reduction))}, found '{reduction}'"
            )

    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """Mean loss of the step, see `reduce`."""
        view = views[self.stream]
        return reduce(view, self.token_losses(view), self.reduction)

    @abstractmethod
    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` loss of each response token, to be minimised."""


def llm_unlearn_mean(view: StreamView, x: Tensor) -> Tensor:
    """Mean over sequences as the repository llm_unlearn takes it.

    A response of R tokens is divided by R + 1. Token id 1 is taken for padding: it does not count
    in R, and neither it nor the token after it has a loss.
    """
    not_pad = (view.target != _LLM_UNLEARN_PAD_ID).to(x.dtype)
    after_not_pad = not_pad.roll(1)
    after_not_pad[view.token_in_sequence == 0] = 1
    kept = x * not_pad * after_not_pad
    return view.sequence_mean(view.row_sum(kept) / (1 + view.row_sum(not_pad)))
