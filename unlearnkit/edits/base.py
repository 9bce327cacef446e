"""Base class of edits."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import BaseModel
from unlearnkit.registry import Registered

if TYPE_CHECKING:
    from unlearnkit.data.example import Example

    Model: TypeAlias = str | BaseModel
    """Any model that a recipe can name."""
    Rows: TypeAlias = str | Sequence[Example]
    """A file of rows, the id of a data set, or rows in memory."""
else:
    # The command line takes its types from the constructors, and can give text alone.
    Model = Rows = str

Prompts: TypeAlias = Sequence[Sequence[int]]
"""Token ids of prompts."""


class Edit(Registered, ABC):
    """Makes a model from others, without training.

    The parameters of the constructor are the options of ``unlearnkit edit NAME``, its types their
    types, and the docstring of the class their help. It checks values and reads nothing.

    Example:
        >>> from unlearnkit.edits import Negate
        >>> Negate("tiny", ["runs/learned"], scale=0.5).scale
        0.5
    """

    @abstractmethod
    def write(self, out: str | Path) -> Path:
        """Writes the model's folder, whole or not at all.

        Args:
            out: The folder to write; it must not exist or be empty.

        Returns:
            ``out``.

        Raises:
            UserError: If the models or rows do not fit, or ``out`` exists.
        """

    def read_runs(self, read: Callable[[str], tuple[Path, Sequence[Example]]]) -> None:
        """Takes from run folders what only their recipes know; the command line calls it.

        Args:
            read: Gives the model and the forget rows of a run folder.
        """

    @property
    def remark(self) -> str:
        """Message at the shell once the model is written."""
        return ""

    @property
    def without_effect(self) -> dict[str, str]:
        """Arguments that the others leave without effect, each with the reason.

        The command line refuses those that are given, before anything is read.

        Example:
            >>> from unlearnkit.edits import Negate
            >>> Negate("tiny", ["runs/learned"], method="ties").without_effect
            {'seed': 'with --method ties'}
        """
        return {}

    def refuse_without_effect(self, given: Mapping[str, object] | None = None) -> None:
        """Raises for arguments that are given and have no effect.

        Args:
            given: Values by argument; by default the attributes of these names that are not the
                defaults of the constructor.

        Raises:
            UserError: With all of them.
        """
        idle = self.without_effect
        if given is None:
            defaults = inspect.signature(type(self)).parameters
            own = {name: getattr(self, name) for name in idle}
            given = {name: each for name, each in own.items() if each != defaults[name].default}
        reasons: dict[str, list[str]] = {}
        for name, why in idle.items():
            if given.get(name) is not None:
                reasons.setdefault(why, []).append(f"--{name}")
        lines = [
            f"{', '.join(names)}: {'has' if len(names) == 1 else 'have'} no effect {why}"
            for why, names in reasons.items()
        ]
        if lines:
            several = sum(map(len, reasons.values())) > 1
            hint = f"Leave {'them' if several else 'it'} out."
            raise UserError("\n".join(lines), title="usage", hint=hint)


@contextmanager
def as_edit() -> Iterator[None]:
    """Reports an unusable model as the fault of an option, not of a recipe.

    Raises:
        UserError: In place of a `RecipeError`.
    """
    try:
        yield
    except RecipeError as error:
        message = error.message.removeprefix("model.base: ")
        raise UserError(message, title="edit", hint=error.hint) from error


def refuse_infinite(**options: float) -> None:
    """Raises for options that are no finite numbers.

    Raises:
        UserError: With each of them.
    """
    wrong = [
        f"--{name}: expected a finite number, found {value}"
        for name, value in options.items()
        if not math.isfinite(value)
    ]
    if wrong:
        raise UserError("\n".join(wrong))


def as_model(model: str | BaseModel) -> BaseModel:
    """A model that an option names, with the fields of a recipe's."""
    return BaseModel(model) if isinstance(model, str) else model
