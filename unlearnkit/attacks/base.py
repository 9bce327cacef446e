"""Base class of attacks, and what each is given and returns."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from unlearnkit.arguments import Arguments
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.worded import WordedRows
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel
from unlearnkit.registry import Registered
from unlearnkit.suites.base import SuiteContext

if TYPE_CHECKING:
    from unlearnkit.data.datamodule import UnlearningDataModule
    from unlearnkit.data.example import Example

Curve: TypeAlias = list[dict[str, Any]]
"""One mapping per measurement: first what was varied, then the metrics."""


@dataclass(frozen=True)
class Target:
    """What an attack tries to bring back, and how it is asked for.

    Args:
        examples: The forget rows.
        codec: Tokenizer, longest sequence and template.
        context: Sizes, and other streams by name.
        stream: Where the rows come from, for attacks that read them anew in other words.
    """

    examples: Sequence[Example]
    codec: Codec
    context: SuiteContext
    stream: Stream | None = None

    @classmethod
    def of(cls, data: UnlearningDataModule) -> Target:
        """The forget rows of a recipe, which were checked.

        Raises:
            UserError: If it has no stream ``forget``.
        """
        if "forget" not in data.data:
            raise UserError(
                "the recipe has no stream 'forget' to attack.",
                hint=f"It has: {', '.join(data.data)}.",
            )
        forget = data.data["forget"]
        if isinstance(forget, WordedRows):  # other wordings of a row would give it away
            rows = [each for row in range(len(forget)) for each in forget.measured(row)]
        else:
            rows = list(forget.examples())
        return cls(rows, data.codec(), SuiteContext.of(data), data.streams["forget"])

    @property
    def tokenizer(self) -> Any:
        """Of the rows, and of all models that are attacked."""
        return self.codec.tokenizer

    @property
    def cut(self) -> Mapping[int, int]:
        """Response tokens that the maximal length took from forget rows, by row."""
        stream = self.context.data.get("forget")
        return {} if stream is None else stream.cut


class Attack(Registered, Arguments, ABC):
    """An attempt to bring a forgotten text back, on any model.

    The parameters of the constructor are the options of ``unlearnkit attack RUN NAME``, its types
    their types, and the docstring of the class their help. Each is kept under its own name, so
    that a result can say what it was found with.

    Example:
        >>> from unlearnkit.attacks import Relearn
        >>> Relearn(steps=5).settings["steps"]
        5
    """

    @abstractmethod
    def prepare(self, target: Target) -> Any:
        """Chooses what is shown and measured; called once, before any model is loaded.

        Returns:
            What `run` is given; its ``repr`` tells one choice from another.

        Raises:
            UserError: If an option does not go with the rows.
        """

    def notes(self, rows: Any, target: Target) -> list[str]:
        """What is cut from the rows or left out of a metric, a sentence each; by default nothing.

        Args:
            rows: What `prepare` chose.
            target: As `prepare` was given it.
        """
        return []

    @abstractmethod
    def run(self, base: str | BaseModel, rows: Any, target: Target) -> Curve:
        """Attacks one model, and leaves its files as they are.

        Args:
            base: The model.
            rows: What `prepare` chose.
            target: As `prepare` was given it.
        """

    def changes(self, base: str | BaseModel) -> str | None:
        """What the attack trains of a model, such as ``all weights``; by default nothing.

        Args:
            base: The model.
        """
        return None

    def figures(self, curves: Mapping[str, Curve]) -> dict[str, float]:
        """What the curves of all models say together, by name; by default nothing.

        Args:
            curves: As `run` returned them, by the model's name.
        """
        return {}

    @property
    def settings(self) -> dict[str, Any]:
        """The options by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}


def check_limit(limit: int) -> int:
    """The limit.

    Raises:
        UserError: If it is below 1.
    """
    if limit < 1:
        raise UserError(f"--limit: expected at least 1, found {limit}", title="usage")
    return limit
