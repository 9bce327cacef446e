"""Base class of edits."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from unlearnkit.arguments import Arguments
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


class Edit(Registered, Arguments, ABC):
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
