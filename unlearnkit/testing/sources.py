"""Views of a stream, from tensors in place of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnkit.engine.step.patterns import Pattern
from unlearnkit.engine.step.views import StreamView, TokenSource
from unlearnkit.functional.core import token_logps
from unlearnkit.functional.divergence import forward_kl

LENGTHS = (3, 1, 4, 2)
_VOCABULARY = 7
_HIDDEN_SIZE = 5


class LogitsSource:
    """A model's values for a stream's response tokens, from tensors in memory.

    Args:
        logits: ``[N, V]`` logits that predict the tokens.
        target: ``[N]`` token ids.
        hidden: ``[N, H]`` hidden states, the same for every layer.
    """

    def __init__(self, logits: Tensor, target: Tensor, hidden: Tensor | None = None) -> None:
        self._logits, self._target, self._hidden = logits, target, hidden
        self.read: set[str] = set()

    def logps(self, tokens: Tensor, pattern: Pattern | None = None) -> Tensor:
        """``[N]`` log-probabilities of the tokens."""
        self.read.add("logps")
        return token_logps(self._logits[tokens], self._target[tokens])

    def logits(self, tokens: Tensor) -> Tensor:
        """``[N, V]`` logits that predict the tokens."""
        self.read.add("logits")
        return self._logits[tokens]

    def hidden(self, layer: int, tokens: Tensor) -> Tensor:
        """``[N, H]`` hidden states."""
        self.read.add("hidden")
        if self._hidden is None:
            raise LookupError("this source has no hidden states")
        return self._hidden[tokens]

    def forward_kl(
        self,
        reference: TokenSource,
        tokens: Tensor,
        ref_tokens: Tensor,
        pattern: Pattern | None = None,
    ) -> Tensor:
        """``[N]`` KL(reference ‖ policy)."""
        assert isinstance(reference, LogitsSource)
        reference.read.add("logps")
        return forward_kl(self._logits[tokens], reference._logits[ref_tokens])

    def entropy(self, tokens: Tensor) -> Tensor:
        """``[N]`` entropy of the next-token distributions."""
        logps = self._logits[tokens].log_softmax(-1)
        return -(logps.exp() * logps).sum(-1)


def stream_view(
    logits: Tensor,
    target: Tensor,
    lengths: Sequence[int] | None = None,
    *,
    ref_logits: Tensor | None = None,
    hidden: Tensor | None = None,
    ref_hidden: Tensor | None = None,
    rows: Sequence[int] | None = None,
    parts: int = 1,
    step_tokens: int | None = None,
    step_sequences: int | None = None,
) -> StreamView:
    """A view of a stream, from a tensor of logits in place of a model.

    Args:
        logits: ``[N, V]`` policy logits.
        target: ``[N]`` token ids.
        lengths: Tokens of each of the ``S`` sequences; by default one sequence.
        ref_logits: ``[N, V]`` reference logits; without them there is no reference.
        hidden: ``[N, H]`` hidden states of the policy.
        ref_hidden: ``[N, H]`` hidden states of the reference.
        rows: ``S`` row indices; by default 0 and up.
        parts: Micro-batches, over all ranks, of the optimiser step.
        step_tokens: Tokens of the whole step; by default those of this view.
        step_sequences: Sequences of the whole step; by default those of this view.

    Example:
        >>> view = stream_view(torch.zeros(3, 4), torch.tensor([0, 1, 2]), [2, 1])
        >>> view.row_sum(view.logps).exp()
        tensor([0.0625, 0.2500])
    """
    lengths = [len(target)] if lengths is None else list(lengths)
    reference = None if ref_logits is None else LogitsSource(ref_logits, target, ref_hidden)
    return StreamView(
        LogitsSource(logits, target, hidden),
        reference,
        tokens=torch.arange(len(target)),
        target=target,
        sequence=torch.arange(len(lengths)).repeat_interleave(
            torch.tensor(lengths, dtype=torch.long)
        ),
        rows=range(len(lengths)) if rows is None else rows,
        token_share=(len(target) if step_tokens is None else step_tokens) / parts,
        sequence_share=(len(lengths) if step_sequences is None else step_sequences) / parts,
    )


@dataclass
class Rows:
    """Rows of a stream, as tensors."""

    logits: Tensor
    ref_logits: Tensor
    hidden: Tensor
    ref_hidden: Tensor
    target: Tensor
    lengths: tuple[int, ...]
    rows: tuple[int, ...]

    @classmethod
    def draw(cls, seed: int, lengths: tuple[int, ...] = LENGTHS) -> Rows:
        """Random rows; the reference is near the policy."""
        random = torch.Generator().manual_seed(seed)

        def normal(width: int) -> Tensor:
            return torch.randn(sum(lengths), width, generator=random, dtype=torch.float64)

        logits, hidden = normal(_VOCABULARY), normal(_HIDDEN_SIZE)
        return cls(
            logits=logits,
            ref_logits=logits + 0.3 * normal(_VOCABULARY),
            hidden=hidden,
            ref_hidden=hidden + 0.3 * normal(_HIDDEN_SIZE),
            target=torch.randint(_VOCABULARY, (sum(lengths),), generator=random),
            lengths=lengths,
            rows=tuple(range(len(lengths))),
        )

    def take(self, sequences: Sequence[int]) -> Rows:
        """The sequences with these places, in this order."""
        starts = torch.tensor((0, *self.lengths)).cumsum(0).tolist()
        tokens = [t for s in sequences for t in range(starts[s], starts[s] + self.lengths[s])]
        return Rows(
            logits=self.logits[tokens],
            ref_logits=self.ref_logits[tokens],
            hidden=self.hidden[tokens],
            ref_hidden=self.ref_hidden[tokens],
            target=self.target[tokens],
            lengths=tuple(self.lengths[s] for s in sequences),
            rows=tuple(self.rows[s] for s in sequences),
        )

    def view(
        self, *, reference: bool = True, whole: Rows | None = None, parts: int = 1
    ) -> StreamView:
        """A view whose logits and hidden states take gradients."""
        whole = whole or self
        return stream_view(
            self.logits,
            self.target,
            self.lengths,
            ref_logits=self.ref_logits if reference else None,
            hidden=self.hidden,
            ref_hidden=self.ref_hidden,
            rows=self.rows,
            parts=parts,
            step_tokens=len(whole.target),
            step_sequences=len(whole.lengths),
        )
