"""Weights that a loss gives to tokens, expected and proven."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor

Kind = Literal["token", "sequence"]
"""The same weight for all tokens, or for all sequences and within each the same for its tokens."""


@dataclass(eq=False)
class Pattern:
    """Weights that a loss is expected to give to ``N`` tokens, up to a factor.

    `prove` sets `proven` where the operations between the tokens and the loss leave no doubt.
    Elsewhere the backward pass compares, for which the host waits for the device.
    """

    weights: Tensor  # [N]
    kind: Kind | None = None
    lengths: Tensor | None = None  # [S]
    sequence: Tensor | None = None  # [N]
    proven: bool = False
    number: int = -1
    """Of the autograd node that has the tokens; nodes that were made before have smaller ones."""


class _Path(NamedTuple):
    """What is known of a loss's derivative at a node: constant, but for these divisions."""

    divided_by: int = 0  # where the tensor of lengths lies in memory; 0 for none
    spread_by: int = 0  # where the tensor of sequences lies


_LINEAR = {"NegBackward0", "SumBackward0", "AddBackward0", "SubBackward0", "StackBackward0"}
_SCALED = {"MulBackward0", "DivBackward0"}


def prove(loss: Tensor, patterns: Iterable[Pattern]) -> None:
    """Finds the patterns that a loss follows for certain; asks the device for nothing.

    The autograd graph is followed from the loss down to the kernels of the output head. A sum, a
    sign and a factor keep the derivative the same for all tokens; a division of each sequence by
    its length and the sum over its tokens make it that of the kind ``sequence``. Any other
    operation leaves it open.

    Args:
        loss: A scalar.
        patterns: Those that the kernels below it were given.
    """
    open_ones = {id(p): p for p in patterns if p.number >= 0}
    if not open_ones or loss.grad_fn is None:
        return
    first = min(p.number for p in open_ones.values())
    found: dict[int, set[_Path | None]] = {}
    seen: set[tuple[Any, _Path | None]] = set()
    left: list[tuple[Any, _Path | None]] = [(loss.grad_fn, _Path())]
    while left:
        node, path = left.pop()
        if node is None or (node, path) in seen or node._sequence_nr() < first:
            continue
        seen.add((node, path))
        pattern = getattr(node, "pattern", None)
        if isinstance(pattern, Pattern):
            found.setdefault(id(pattern), set()).add(path)
            continue
        below = _below(node, path)
        left += [(each, below) for each, _ in node.next_functions]
    for name, pattern in open_ones.items():
        paths = found.get(name, set())
        pattern.proven = paths == {_expected(pattern)}


def _expected(pattern: Pattern) -> _Path | None:
    if pattern.kind == "token":
        return _Path()
    if pattern.kind == "sequence" and pattern.lengths is not None and pattern.sequence is not None:
        return _Path(pattern.lengths.data_ptr(), pattern.sequence.data_ptr())
    return None


def _below(node: Any, path: _Path | None) -> _Path | None:
    """What is known at a node's inputs; None for nothing."""
    name = node.name()
    if path is None:
        return None
    if name in _LINEAR:
        # Sums of what is not the same everywhere, as in adding [S] to [1], would not be followed.
        plain = name == "NegBackward0" or path == _Path()
        return path if plain else None
    if name in _SCALED:
        factors = [t for t in (node._saved_self, node._saved_other) if isinstance(t, Tensor)]
        if all(not factor.dim() for factor in factors):
            return path
        by_length = name == "DivBackward0" and path == _Path() and node._saved_self is None
        return _Path(divided_by=node._saved_other.data_ptr()) if by_length else None
    if name == "IndexAddBackward0" and not path.spread_by:
        spread_by = node._saved_index.data_ptr() if path.divided_by else 0
        return path._replace(spread_by=spread_by)
    return None
