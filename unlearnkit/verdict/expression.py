"""Small arithmetic on values of a metric, read without evaluating code."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

LONGEST = 200
"""Characters of an expression at most."""
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_ORDER: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max}
GRAMMAR = "numbers, +, -, *, /, parentheses, min(...), max(...)"


class Expression:
    """A sum, product or bound of numbers and named values.

    Args:
        text: Such as ``gold + 0.05`` or ``max(0.9 * before, gold)``; a number will do.
        names: Names that may stand in it.
        compared: Whether it is a comparison of two of them, such as ``after < 0.9 * before``.

    Raises:
        ValueError: If it holds anything else; the message says what.

    Example:
        >>> Expression("gold + 0.5 * before", ["before", "gold"]).value({"before": 1, "gold": 2})
        2.5
        >>> Expression("gold + 1", ["gold"]).value({}) is None
        True
    """

    def __init__(
        self, text: str | float, names: Collection[str], *, compared: bool = False
    ) -> None:
        self.text, self._names = str(text), names
        if isinstance(text, bool) or len(self.text) > LONGEST:
            raise ValueError(f"expected a number or an expression, found {text!r}")
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, RecursionError, MemoryError, ValueError):
            raise ValueError(f"'{self.text}' is no expression of {GRAMMAR}") from None
        self._parts: tuple[ast.expr, ...] = (tree,)
        self._order: Callable[[float, float], bool] | None = None
        if compared:
            if not (isinstance(tree, ast.Compare) and len(tree.ops) == 1):
                raise ValueError(f"expected one comparison, found '{self.text}'")
            if type(tree.ops[0]) not in _ORDER:
                raise ValueError(f"expected <, <=, > or >= in '{self.text}'")
            self._parts = (tree.left, tree.comparators[0])
            self._order = _ORDER[type(tree.ops[0])]
        self.names = frozenset(name for part in self._parts for name in self._checked(part))
        """Names that stand in it."""

    def __str__(self) -> str:
        return self.text

    def value(self, known: Mapping[str, float]) -> float | None:
        """Its value; None if a name is not known, or it is no finite number."""
        return _value(self._parts[0], known)

    def holds(self, known: Mapping[str, float]) -> bool | None:
        """Whether a comparison is true; None if a side is not known."""
        sides = [_value(part, known) for part in self._parts]
        if self._order is None or sides[0] is None or sides[1] is None:
            return None
        return self._order(sides[0], sides[1])

    def gap(self, known: Mapping[str, float]) -> float:
        """How far the sides of a comparison are apart, as a share of the second one; 0 if equal."""
        sides = [_value(part, known) or 0.0 for part in self._parts]
        return abs(sides[0] - sides[-1]) / max(abs(sides[-1]), 1e-9)

    def _checked(self, node: ast.expr) -> list[str]:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            if not math.isfinite(float(str(node.value))):
                raise ValueError(f"'{self.text}' holds a number that is not finite")
            return []
        if isinstance(node, ast.Name):
            if node.id in self._names:
                return [node.id]
            raise ValueError(f"'{node.id}' is not known here; names: {', '.join(self._names)}")
        inner = _inner(node)
        if inner is None:
            raise ValueError(f"'{ast.unparse(node)}' is none of {GRAMMAR}")
        return [name for each in inner for name in self._checked(each)]


def _inner(node: ast.expr) -> list[ast.expr] | None:
    """What an allowed node is made of; None if it is not allowed."""
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [node.operand]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return node.args if node.func.id in _FUNCTIONS and node.args else None
    return None


def _value(node: Any, known: Mapping[str, float]) -> float | None:
    if isinstance(node, ast.Constant):
        return float(node.value)  # pyright: ignore[reportArgumentType]
    if isinstance(node, ast.Name):
        return known.get(node.id)
    inner = [_value(each, known) for each in _inner(node) or []]
    found = [each for each in inner if each is not None]
    if len(found) < len(inner):
        return None
    try:
        if isinstance(node, ast.BinOp):
            result = _ARITHMETIC[type(node.op)](*found)
        elif isinstance(node, ast.UnaryOp):
            result = -found[0]
        else:
            result = _FUNCTIONS[node.func.id](found)
    except (ZeroDivisionError, OverflowError):
        return None
    return result if math.isfinite(result) else None
