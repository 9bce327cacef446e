"""Base class of robust methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from unlearnkit.errors import RecipeError
from unlearnkit.registry import Registered
from unlearnkit.robust.passes import Gradients, Passes


class Robust(Registered, ABC):
    """A way to take the gradient of the forget terms, so that forgetting lasts.

    The forget terms are the objectives that read one of ``streams``; all others are taken at the
    weights as they are. A subclass gives `gradient`. It is called once for each optimiser step, on
    every process, and may run the forget terms as often as it likes.

    Example:
        >>> class Twice(Robust):
        ...     '''Doubles the forget gradient.'''
        ...     def gradient(self, passes):
        ...         return passes.forget().scaled(2.0)
        >>> Twice().streams
        ('forget',)

    Args:
        streams: Streams whose objectives are the forget terms; by default ``forget``.

    Raises:
        RecipeError: If ``streams`` is empty.
    """

    needs_rest: bool = False
    """Whether it needs objectives beside the forget terms."""
    whole_weights: ClassVar[bool] = False
    """Whether it needs the gradients of weight matrices themselves, and not of an adapter's."""
    perturbs: ClassVar[bool] = False
    """Whether it adds to states between decoder blocks."""
    blocks: tuple[int, ...] | None = None
    """The decoder blocks, from 0, to whose outputs it adds."""
    paper: ClassVar[str] = ""
    """Author, year and arXiv number."""

    def __init__(self, streams: Sequence[str] | None = None) -> None:
        self.streams = ("forget",) if streams is None else tuple(streams)
        if not self.streams:
            raise RecipeError(f"{self.label}: streams names no stream")

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.registered_name or type(self).__name__

    @abstractmethod
    def gradient(self, passes: Passes) -> Gradients:
        """The gradient that stands for that of the forget terms.

        Args:
            passes: Runs the forget terms, at the weights as they are or at others.
        """

    def whole(self, passes: Passes) -> Gradients:
        """The gradient of the step: that of the forget terms and that of all others.

        Args:
            passes: Runs the terms.
        """
        return self.gradient(passes).added(passes.rest())

    def state(self) -> list[Tensor | None]:
        """What it keeps from step to step, for checkpoints; by default nothing."""
        return []

    def resume(self, state: Sequence[Tensor | None]) -> None:
        """Takes the state of an interrupted run; called with one alone."""


def above_zero(name: str | None, **values: float) -> None:
    """Refuses settings that are not above 0, or not finite."""
    for key, value in values.items():
        if not 0 < value < float("inf"):
            raise RecipeError(f"{name}: {key} must be above 0 and finite, found {value}")
