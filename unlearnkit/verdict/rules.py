"""Reads the rules of the verdicts, which are data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from unlearnkit.plain import told
from unlearnkit.verdict.expression import Expression

NAMES = ("before", "after", "gold", "left", "start", "forget_before", "forget_left")
"""What a rule may compare."""
FILE = "rules.yaml"
Status = Literal["good", "warn", "bad", "none"]


@dataclass(frozen=True)
class Rule:
    """A condition on one metric; the file ``rules.yaml`` says what each field is."""

    when: Expression
    look: str
    good: str
    next: str
    metric: tuple[str, ...] = ()
    roles: tuple[tuple[str, ...], ...] = ()
    """Groups of roles, of which the first that has a metric is looked at."""
    direction: str | None = None
    headline: bool = False
    attack: tuple[str, ...] = ()
    unless: Expression | None = None
    leads: Expression | None = None
    """Where it holds too, the advice of this rule goes before that of others."""
    teaching: bool | None = None
    """Whether the recipe has to teach alone, or must not; None for any."""
    yields: str | None = None
    """A verdict beside which the rule does not hold."""
    without_gold: bool = False
    measurable: bool = False
    says: str = ""
    """Of a remark, what it begins with."""
    instead: tuple[str, ...] = ()
    """Objectives that the advice may name."""

    def advice(self, used: Collection[str] = ()) -> str:
        """What to change next.

        Args:
            used: Objectives of the recipe, which are no advice.
        """
        other = next((f"`{each}`" for each in self.instead if each not in used), "another one")
        return self.next.format(instead=other)


@dataclass(frozen=True)
class Kind:
    """A verdict that there is, with the rules that lead to it."""

    name: str
    status: Status
    means: str
    next: str = ""
    remarks: bool = True
    rules: tuple[Rule, ...] = field(default=())


@dataclass(frozen=True)
class Rules:
    """Verdicts in their precedence, and remarks on the good ones."""

    kinds: tuple[Kind, ...]
    remarks: tuple[Rule, ...]

    def kind(self, name: str) -> Kind:
        """The verdict of a name."""
        return next(each for each in self.kinds if each.name == name)


@cache
def rules() -> Rules:
    """The rules of ``rules.yaml``.

    Example:
        >>> [kind.name for kind in rules().kinds][:5]
        ['collapsed', 'taught', 'damaged', 'hardly taught', 'not known']
    """
    text = files("unlearnkit.verdict").joinpath(FILE).read_text(encoding="utf-8")
    return read_rules(yaml.safe_load(text))


def read_rules(tree: Mapping[str, Any]) -> Rules:
    """Rules from the contents of a file.

    Raises:
        TypeError: For a field that no rule has, or one that is missing.
        ValueError: For a condition that cannot be read.
    """
    kinds = [
        Kind(**{**each, "rules": tuple(map(_rule, each.get("rules", ())))})
        for each in tree["verdicts"]
    ]
    return Rules(tuple(kinds), tuple(map(_rule, tree["remarks"])))


def _rule(given: Mapping[str, Any]) -> Rule:
    fields = dict(given)
    for key in ("when", "unless", "leads"):
        if key in fields:
            fields[key] = Expression(fields[key], NAMES, compared=True)
    for key in ("metric", "attack", "instead"):
        if key in fields:
            fields[key] = _several(fields[key])
    roles = fields.get("roles", [])
    groups = roles if roles and isinstance(roles[0], list) else [roles] if roles else []
    fields["roles"] = tuple(map(tuple, groups))
    if (without := fields.pop("without", None)) is not None:
        if without != "gold":
            raise ValueError(f"without: expected gold, found {told(without)}")
        fields["without_gold"] = True
    return Rule(**fields)


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
