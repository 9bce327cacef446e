"""Search spaces, as a recipe writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, get_args

from unlearnkit.errors import RecipeError
from unlearnkit.plain import told
from unlearnkit.registry import did_you_mean

Kind = Literal["log", "uniform", "int", "choice"]
_KINDS = get_args(Kind)
_FORM = "write {log: [low, high]}, {uniform: [low, high]}, {int: [low, high]} or {choice: [a, b]}"


class Trial(Protocol):
    """What a range needs of an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number of a range."""
        ...

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number of a range, both ends included."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values."""
        ...


class Range(NamedTuple):
    """The values that a setting may take.

    Args:
        kind: ``log`` and ``uniform`` are ranges of numbers, ``int`` of whole numbers, ``choice``
            is a list.
        values: Both ends, or the list.
    """

    kind: Kind
    values: tuple[Any, ...]

    def suggest(self, trial: Trial, name: str) -> Any:
        """The trial's value."""
        if self.kind == "choice":
            return trial.suggest_categorical(name, self.values)
        low, high = self.values
        if self.kind == "int":
            return trial.suggest_int(name, low, high)
        return trial.suggest_float(name, low, high, log=self.kind == "log")

    @property
    def corners(self) -> tuple[Any, ...]:
        """Values that stand for all of them in a check: both ends, or the whole list."""
        return self.values


def parse_space(search: Any, field: str = "search") -> dict[str, Range]:
    """Ranges by the setting's name.

    Args:
        search: A mapping such as ``{"model.optimizer.lr": {"log": [1e-5, 1e-3]}}``.
        field: Its name, for messages.

    Raises:
        RecipeError: With all mistakes.

    Example:
        >>> parse_space({"lr": {"log": [1e-5, 1e-3]}})["lr"]
        Range(kind='log', values=(1e-05, 0.001))
    """
    if not isinstance(search, Mapping) or not search:
        raise RecipeError(
            f"{field}: expected a mapping of settings to ranges, found {told(search)}"
        )
    found: dict[str, Range] = {}
    mistakes: list[str] = []
    for name, given in search.items():
        try:
            found[str(name)] = _range(given)
        except ValueError as error:
            mistakes.append(f"{field}.{name}: {error}")
    if mistakes:
        raise RecipeError("\n".join(mistakes), hint=f"For each setting, {_FORM}.")
    return found


def _range(given: Any) -> Range:
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ValueError(f"expected a range of one kind, found {told(given)}")
    ((kind, values),) = given.items()
    if kind not in _KINDS:
        near = did_you_mean(str(kind), [*_KINDS])
        raise ValueError(f"'{kind}' is no kind of range.{near} Kinds: {', '.join(_KINDS)}")
    if not isinstance(values, list | tuple):
        raise ValueError(f"{kind}: expected a list, found {told(values)}")
    if kind == "choice":
        return _choice(values)
    number = int if kind == "int" else (int, float)
    if len(values) != 2 or not all(
        isinstance(each, number) and not isinstance(each, bool) and math.isfinite(each)
        for each in values
    ):
        what = "two whole numbers" if kind == "int" else "two numbers"
        raise ValueError(f"{kind}: expected {what}, found {list(values)}")
    low, high = values
    if low >= high:
        raise ValueError(f"{kind}: the first number must be below the second, found {list(values)}")
    if kind == "log" and low <= 0:
        raise ValueError(f"log: numbers must be above 0, found {list(values)}")
    return Range(kind, (low, high))


def _choice(values: Sequence[Any]) -> Range:
    if len(values) < 2:
        raise ValueError(f"choice: expected at least two values, found {list(values)}")
    if odd := [each for each in values if not isinstance(each, str | int | float | type(None))]:
        raise ValueError(
            f"choice: values are texts, numbers, true, false or null, found {told(odd[0])}"
        )
    return Range("choice", tuple(values))
