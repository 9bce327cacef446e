"""Finds how a loss weighs the tokens of a stream.

Most losses give every token the same weight, or each token ``1/length`` of its sequence. When that
is known beforehand, the output head's weight gradient can be worked out in the forward pass (see
`unlearnkit.engine.step.kernels`). Nothing depends on it being right: each step proves it by the
operations of its loss (`unlearnkit.engine.step.patterns`), or compares in the backward pass.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from unlearnkit.engine.step.patterns import Kind, Pattern
from unlearnkit.engine.step.views import StreamView, TokenSource

Expected = Mapping[str, Mapping[str, Kind]]
"""The kind by stream and by quantity (``logps``, ``forward_kl``)."""

_LENGTHS = (2, 3, 4)
_REACH = {"logps": -20.0, "forward_kl": 1.0}
"""Made-up values lie between 0 and this, so that a bounded loss is seen on both sides of it."""


class _Loss(Protocol):
    weight: float

    @property
    def streams(self) -> tuple[str, ...]: ...

    def __call__(self, views: Mapping[str, StreamView]) -> Tensor: ...


class _MadeUp:
    """Values of a stream as leaves of the autograd graph; nothing else can be asked of it."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.leaves = {
            name: (reach * torch.rand(sum(_LENGTHS), generator=generator)).requires_grad_()
            for name, reach in _REACH.items()
        }

    def logps(self, tokens: Tensor, pattern: Pattern | None = None) -> Tensor:
        return self.leaves["logps"]

    def forward_kl(
        self,
        reference: TokenSource,
        tokens: Tensor,
        ref_tokens: Tensor,
        pattern: Pattern | None = None,
    ) -> Tensor:
        if isinstance(reference, _Asked):
            reference.whole = True
        return self.leaves["forward_kl"]

    def logits(self, tokens: Tensor) -> Tensor:
        raise LookupError

    def hidden(self, layer: int, tokens: Tensor) -> Tensor:
        raise LookupError

    def entropy(self, tokens: Tensor) -> Tensor:
        raise LookupError


class _Asked(_MadeUp):
    """A reference that remembers whether whole distributions were asked of it."""

    def __init__(self) -> None:
        super().__init__(seed=7)
        self.whole = False


def expected_weights(losses: Iterable[_Loss]) -> dict[str, dict[str, Kind]]:
    """The kinds of weights that the losses together give to each stream's tokens.

    Args:
        losses: Objectives; they are copied before they are tried.

    Returns:
        By stream and quantity; what follows neither kind is left out.
    """
    losses = list(losses)
    tried = [_gradients(losses, seed) for seed in (0, 1)]
    found: dict[str, dict[str, Kind]] = {}
    for stream in tried[0]:
        for quantity in _REACH:
            one: Kind | None = _kind(tried[0][stream].get(quantity))
            if one is not None and one == _kind(tried[1][stream].get(quantity)):
                found.setdefault(stream, {})[quantity] = one
    return found


def reads_distributions(losses: Iterable[_Loss]) -> set[str]:
    """Streams of which a loss reads more of the reference than log-probabilities of the tokens."""
    found: set[str] = set()
    for loss in losses:
        sources = {name: _MadeUp(i) for i, name in enumerate(loss.streams)}
        references = {name: _Asked() for name in sources}
        views = {name: _view(source, references[name]) for name, source in sources.items()}
        try:
            copy.deepcopy(loss)(views)
            found |= {name for name, reference in references.items() if reference.whole}
        except Exception:
            # Anyone's loss may fail on made-up values, in any way; if it is wrong, it fails again
            # in the first real step, where nothing is caught. Here it may read anything.
            found |= set(loss.streams)
    return found


def pattern(kind: Kind, view: StreamView) -> Pattern:
    """The weights of a kind for the tokens of a view."""
    weights = (
        torch.ones(len(view.target), device=view.target.device)
        if kind == "token"
        else 1.0 / view.lengths[view.sequence]
    )
    return Pattern(weights, kind, view.lengths, view.sequence)


def _gradients(losses: list[_Loss], seed: int) -> dict[str, dict[str, Tensor]]:
    names = sorted({name for loss in losses for name in loss.streams})
    sources = {name: _MadeUp(seed * 100 + i) for i, name in enumerate(names)}
    views = {name: _view(source) for name, source in sources.items()}
    for loss in losses:
        try:
            term = loss.weight * copy.deepcopy(loss)(views)
            if term.requires_grad:
                term.backward()
        except Exception:
            # As above: it fails again in the real step, or it asks for more than is made up here
            # and nothing is known of its streams.
            for name in loss.streams:
                sources[name].leaves.clear()
    return {
        name: {k: leaf.grad for k, leaf in source.leaves.items() if leaf.grad is not None}
        for name, source in sources.items()
    }


def _view(source: Any, reference: Any = None) -> StreamView:
    lengths = torch.tensor(_LENGTHS)
    count = int(lengths.sum())
    return StreamView(
        source,
        reference or _MadeUp(seed=7),
        tokens=torch.arange(count),
        target=torch.zeros(count, dtype=torch.long),
        sequence=torch.arange(len(lengths)).repeat_interleave(lengths),
        rows=range(len(lengths)),
    )


def _kind(gradient: Tensor | None) -> Kind | None:
    if gradient is None or not bool(gradient.any()):
        return None
    lengths = torch.tensor(_LENGTHS)
    if _constant(gradient):
        return "token"
    if _constant(gradient * lengths.repeat_interleave(lengths)):
        return "sequence"
    return None


def _constant(x: Tensor) -> bool:
    return bool((x - x[0]).abs().max() <= 1e-6 * x.abs().max())
