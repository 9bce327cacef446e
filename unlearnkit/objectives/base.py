"""Base class of objectives."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import RecipeError
from unlearnkit.registry import Registered, did_you_mean

NEEDS = frozenset({"reference", "hidden", "logits"})


class Objective(nn.Module, Registered, ABC):
    """A weighted loss on one or more streams, to be minimised.

    A subclass gives `forward`, names what it needs, and is done; sign, weight, masks, padding,
    micro-batches, ranks and the reference model are not its business.

    Example:
        >>> class Hinge(Objective):
        ...     needs = frozenset({"reference"})
        ...     def __init__(self, weight: float = 1.0, stream: str | None = None,
        ...                  margin: float = 5.0) -> None:
        ...         super().__init__(weight, stream)
        ...         self.margin = margin
        ...     def forward(self, views):
        ...         v = views[self.stream]
        ...         return v.mean((v.logps - v.ref_logps + self.margin).relu())
        >>> Hinge(margin=3.0).stream
        'forget'

    Args:
        weight: Factor of the loss in the total, the paper's ``eps_i``; at least 0. At 0 the
            objective, and its forward passes, are skipped.
        stream: Name of the stream it reads; by default the class's own.

    Raises:
        RecipeError: If the weight is negative or not finite.
    """

    default_stream: ClassVar[str] = "forget"
    needs: frozenset[str] = frozenset()
    """Any of ``reference`` (reference log-probs or logits), ``hidden`` (decoder block outputs),
    ``logits`` (whole ``[N, V]`` logits)."""
    additive: bool = True
    """Whether the loss of a step is the mean of the losses of its parts (micro-batches, ranks).
    Not so when a non-linear function is applied to a mean over the batch."""
    compat_values: ClassVar[Mapping[str, str]] = {}
    """Values of ``compat``, named after published repositories, and how each departs from the
    formula."""
    ranges: ClassVar[Mapping[str, Mapping[str, Sequence[float]]]] = {}
    """Ranges of its settings that ``unlearnkit tune --method`` searches, beside the weight's."""
    acts_after: ClassVar[str | None] = None
    """Name of the argument that says after how many optimiser steps a part of it begins."""
    paper: ClassVar[str] = ""
    """Author, year and arXiv number, shown by ``unlearnkit list objectives``."""

    def __init__(self, weight: float = 1.0, stream: str | None = None) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise RecipeError(
                f"{type(self).__name__}: weight must be finite and at least 0, found {weight}",
                hint="The sign of a loss belongs to the objective: gradient_ascent negates.",
            )
        self.weight = weight
        self.stream = stream or self.default_stream

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of all streams that `forward` reads."""
        return (self.stream,)

    @property
    def layers(self) -> tuple[int, ...]:
        """Decoder blocks, from 0, whose outputs `forward` reads; with ``hidden`` in `needs`."""
        return ()

    @abstractmethod
    def forward(self, views: Mapping[str, StreamView]) -> Tensor:
        """The loss of this step's rows, a scalar to be minimised, without the weight."""

    def check_compat(self, compat: str | None) -> str | None:
        """Returns the value, or raises `RecipeError` with the known ones."""
        if compat is not None and compat not in self.compat_values:
            known = "; ".join(f"{k}: {v}" for k, v in self.compat_values.items()) or "none"
            raise RecipeError(
                f"{self.registered_name or type(self).__name__}: compat '{compat}' is unknown."
                f"{did_you_mean(compat, list(self.compat_values))}",
                hint=f"Known values: {known}. Leave it out for the published formula.",
            )
        return compat

    def attach(self, policy: nn.Module) -> None:
        """Called once, when the model is built; for losses on parameters rather than on rows."""

    def after_step(self, mean_over_ranks: Callable[[Tensor], Tensor]) -> None:
        """Called after each optimiser step; for losses with a state of their own.

        Args:
            mean_over_ranks: Averages a tensor over all processes.
        """


def positive(name: str, **values: float) -> None:
    """Raises `RecipeError` for a value that is not above 0."""
    for key, value in values.items():
        if value <= 0:
            raise RecipeError(f"{name}: {key} must be above 0, found {value}")
