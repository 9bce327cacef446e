"""The keys and masks of each part of a packed row."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate, count, groupby
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import torch
from torch import Tensor

T = TypeVar("T")
SHORT = 4
"""Smallest run of parts that is worth the views which make it one call of attention."""


class Tree(NamedTuple):
    """Flat positions of one prompt and of its responses' inputs, each as ``(start, end)``."""

    prompt: tuple[int, int]
    responses: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class AttentionPlan:
    """The parts of a packed row and the keys of each.

    The queries of the parts follow each other and fill the row. Within a part attention is causal
    from the end: query ``i`` of ``q`` sees the first ``k - q + i + 1`` of its ``k`` keys.
    """

    queries: tuple[int, ...]
    """Queries of each part."""
    keys: tuple[int, ...]
    """Keys of each part: those of the prompt, then its own."""
    gather: Tensor | None
    """``[sum(keys)]`` flat positions of the keys; None where each part attends to itself alone."""
    query_ends: Tensor
    """``[parts + 1]`` int32, where the queries of each part begin and the last ones end."""
    key_ends: Tensor
    """``[parts + 1]`` int32, the same of the gathered keys."""
    ticket: int = field(init=False, repr=False, compare=False, default=-1)
    """Number by which `plan_of` finds the plan."""
    longest_query: int = field(init=False, repr=False, compare=False)
    longest_key: int = field(init=False, repr=False, compare=False)
    _shared: dict[Hashable, Any] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        # Numbers, since a compiler would take the parts themselves for constants of a graph.
        object.__setattr__(self, "longest_query", max(self.queries))
        object.__setattr__(self, "longest_key", max(self.keys))

    def registered(self) -> AttentionPlan:
        """The plan, with a number of this process."""
        if _PLANS.get(self.ticket) is not self:
            object.__setattr__(self, "ticket", next(_TICKETS))
            _PLANS[self.ticket] = self
        return self

    @property
    def runs(self) -> tuple[tuple[int, int, int], ...]:
        """Parts of one size that follow each other: how many, and queries and keys of each.

        Fewer than `SHORT` of them are a run each.
        """

        def make() -> tuple[tuple[int, int, int], ...]:
            found: list[tuple[int, int, int]] = []
            for size, run in groupby(zip(self.queries, self.keys, strict=True)):
                count = len(list(run))
                found += [(count, *size)] if count >= SHORT else [(1, *size)] * count
            return tuple(found)

        return self.shared("runs", make)

    def reaches(self, window: int | None) -> bool:
        """Whether a sliding window of so many tokens hides a key from any query."""
        return window is not None and self.longest_key > window

    def mask(self, queries: int, keys: int, window: int | None) -> Tensor | None:
        """``[queries, keys]``, True where seen; None stands for a square causal one.

        Equal parts and all decoder blocks share one mask.
        """
        if window is not None and keys <= window:
            window = None
        if window is None and queries == keys:
            return None

        def make() -> Tensor:
            seen = torch.ones(queries, keys, dtype=torch.bool, device=self.query_ends.device)
            seen = seen.tril(keys - queries)
            return seen if window is None else seen.triu(keys - queries - window + 1)

        return self.shared((queries, keys, window), make)

    def shared(self, name: Hashable, make: Callable[[], T]) -> T:
        """What is made once for all decoder blocks of a step."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> AttentionPlan:
        """The plan with its tensors on a device."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> AttentionPlan:
        """The plan with each of its tensors changed, always in the same order."""
        tensors = {name: each for name, each in vars(self).items() if isinstance(each, Tensor)}
        return replace(self, **{name: change(each) for name, each in tensors.items()})


_TICKETS = count()
_PLANS: WeakValueDictionary[int, AttentionPlan] = WeakValueDictionary()


def plan_of(ticket: int) -> AttentionPlan:
    """The registered plan of a number, while anything else holds it."""
    return _PLANS[ticket]


def plan_attention(trees: Iterable[Tree]) -> AttentionPlan:
    """The parts of a row: a prompt with its one response, or a prompt and each of its responses.

    Args:
        trees: Their spans fill the row without gaps, in any order; an only response follows its
            prompt.

    Example:
        >>> plan = plan_attention([Tree((0, 2), ((2, 3), (3, 5))), Tree((5, 6), ((6, 8),))])
        >>> plan.queries, plan.keys
        ((2, 1, 2, 3), (2, 3, 4, 3))
        >>> plan.gather.tolist()
        [0, 1, 0, 1, 2, 0, 1, 3, 4, 5, 6, 7]
    """
    parts: list[tuple[range, range]] = []  # own positions, and the prompt's before them
    for (start, end), responses in trees:
        if len(responses) == 1:
            end = responses[0][1]
        parts.append((range(start, end), range(0)))
        if len(responses) > 1:
            parts += [(range(*each), range(start, end)) for each in responses]
    parts.sort(key=lambda part: part[0].start)
    queries = [len(own) for own, _ in parts]
    keys = [len(prompt) + len(own) for own, prompt in parts]
    branches = any(prompt for _, prompt in parts)
    positions = [place for own, prompt in parts for each in (prompt, own) for place in each]
    return AttentionPlan(
        tuple(queries),
        tuple(keys),
        torch.tensor(positions, dtype=torch.long) if branches else None,
        torch.tensor([0, *accumulate(queries)], dtype=torch.int32),
        torch.tensor([0, *accumulate(keys)], dtype=torch.int32),
    )
