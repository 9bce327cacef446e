"""The type of a rule, and the refusal of broken ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from unlearnkit.errors import RecipeError


class Rule(NamedTuple):
    """One thing that is refused.

    Args:
        broken: What breaks the rule, of some values; nothing true where they keep it. It may also
            raise a `RecipeError` that says so itself.
        message: What was found and what was expected; ``{v}`` stands for the values, ``{found}``
            for what ``broken`` gave.
        hint: What to do about it, in the same form.
    """

    broken: Callable[[Any], Any]
    message: str = ""
    hint: str | None = None


def refuse(rules: Iterable[Rule], values: object) -> None:
    """Refuses values that break rules, with every rule that they break.

    Raises:
        RecipeError: With a message and a hint of each.

    Example:
        >>> rules = [Rule(lambda v: v < 1, "expected 1 or more, found {v}")]
        >>> refuse(rules, 1)
        >>> refuse(rules, 0)
        Traceback (most recent call last):
        unlearnkit.errors.RecipeError: expected 1 or more, found 0
    """
    messages: list[str] = []
    hints: list[str] = []
    for rule in rules:
        try:
            found = rule.broken(values)
            message, hint = rule.message, rule.hint
            if not found:
                continue
            message = message.format(v=values, found=found)
            hint = hint and hint.format(v=values, found=found)
        except RecipeError as error:
            message, hint = error.message, error.hint
        messages.append(message)
        hints += [hint] if hint and hint not in hints else []
    if messages:
        raise RecipeError("\n".join(dict.fromkeys(messages)), hint="\n".join(hints) or None)
