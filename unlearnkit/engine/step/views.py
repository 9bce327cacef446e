"""An objective's view of one stream: its response tokens alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from unlearnkit.engine.step.patterns import Pattern
from unlearnkit.functional.core import at_least_float32, row_sum


class TokenSource(Protocol):
    """Source of a view's values: the policy's or the reference's forward pass."""

    def logps(self, tokens: Tensor, pattern: Pattern | None = None) -> Tensor:
        """``[N]`` log-probabilities of the tokens, float32; ``pattern`` is that of a view."""
        ...

    def logits(self, tokens: Tensor) -> Tensor:
        """``[N, V]`` logits that predict the tokens."""
        ...

    def hidden(self, layer: int, tokens: Tensor) -> Tensor:
        """``[N, H]`` outputs of a decoder block at the tokens."""
        ...

    def forward_kl(
        self,
        reference: TokenSource,
        tokens: Tensor,
        ref_tokens: Tensor,
        pattern: Pattern | None = None,
    ) -> Tensor:
        """``[N]`` KL(reference ‖ this source), float32; the same tokens by either's numbers."""
        ...

    def entropy(self, tokens: Tensor) -> Tensor:
        """``[N]`` entropy of the next-token distributions, float32."""
        ...


class StreamView:
    """The ``N`` response tokens of a stream's ``S`` sequences in this step.

    Prompts and padding are not in it, so a loss needs no mask. What is not asked for is not
    computed. Log-probabilities, KL and entropy are float32 whatever the model's dtype.

    Averages are over the **whole optimiser step**: when the step is split into micro-batches or
    over ranks, `mean` gives this part's share, scaled so that the average over the parts is the
    mean over all of the step's tokens.

    Args:
        policy: The model being trained.
        reference: The model as it was at the start, or None when no objective needs it.
        tokens: ``[N]`` indices of this stream's tokens in the policy's batch.
        ref_tokens: ``[N]`` the same in the reference's batch; by default ``tokens``.
        target: ``[N]`` token ids.
        sequence: ``[N]`` which of the ``S`` sequences a token belongs to, from 0, ascending.
        rows: ``S`` row indices in the stream.
        token_share: Tokens of the whole step divided by its number of parts; default ``N``.
        sequence_share: Sequences of the whole step divided by its number of parts; default ``S``.
        lengths: ``[S]`` response tokens of each sequence; counted if left out.
        counts: The same numbers on the host.
    """

    def __init__(
        self,
        policy: TokenSource,
        reference: TokenSource | None,
        *,
        tokens: Tensor,
        target: Tensor,
        sequence: Tensor,
        rows: Sequence[int],
        token_share: float | None = None,
        sequence_share: float | None = None,
        lengths: Tensor | None = None,
        counts: Sequence[int] | None = None,
        ref_tokens: Tensor | None = None,
    ) -> None:
        self._policy, self._reference, self._tokens = policy, reference, tokens
        self._ref_tokens = tokens if ref_tokens is None else ref_tokens
        self.target, self.sequence, self.rows = target, sequence, tuple(rows)
        self.token_share = float(target.numel()) if token_share is None else token_share
        self.sequence_share = float(len(self.rows)) if sequence_share is None else sequence_share
        self._lengths, self._counts = lengths, counts
        self.patterns: dict[str, Pattern] = {}
        """Weights that the losses are expected to give to the tokens, by quantity."""

    def __len__(self) -> int:
        """Number of sequences, ``S``."""
        return len(self.rows)

    @cached_property
    def logps(self) -> Tensor:
        """``[N]`` log-probability of each response token under the policy, in nats."""
        return self._policy.logps(self._tokens, *self._pattern("logps"))

    @cached_property
    def ref_logps(self) -> Tensor:
        """``[N]`` log-probability of each response token under the reference, no gradient."""
        with torch.no_grad():
            return self._need_reference().logps(self._ref_tokens)

    @cached_property
    def logits(self) -> Tensor:
        """``[N, V]`` policy logits that predict each response token, float32."""
        return at_least_float32(self._policy.logits(self._tokens))

    @cached_property
    def ref_logits(self) -> Tensor:
        """``[N, V]`` reference logits, float32, no gradient."""
        with torch.no_grad():
            return at_least_float32(self._need_reference().logits(self._ref_tokens))

    def hidden(self, layer: int) -> Tensor:
        """``[N, H]`` output of decoder block ``layer`` (from 0) at the response tokens."""
        return self._policy.hidden(layer, self._tokens)

    def ref_hidden(self, layer: int) -> Tensor:
        """``[N, H]`` the same of the reference, no gradient."""
        with torch.no_grad():
            return self._need_reference().hidden(layer, self._ref_tokens)

    def forward_kl(self) -> Tensor:
        """``[N]`` KL(reference ‖ policy) at each response token, in nats.

        Computed chunk by chunk, never holding ``[N, V]``.
        """
        return self._forward_kl

    @cached_property
    def _forward_kl(self) -> Tensor:
        reference, pattern = self._need_reference(), self._pattern("forward_kl")
        return self._policy.forward_kl(reference, self._tokens, self._ref_tokens, *pattern)

    def entropy(self) -> Tensor:
        """``[N]`` entropy of the policy's next-token distribution, in nats."""
        return self._policy.entropy(self._tokens)

    @cached_property
    def lengths(self) -> Tensor:
        """``[S]`` response tokens of each sequence."""
        if self._lengths is None:
            return torch.bincount(self.sequence, minlength=len(self))
        return self._lengths

    @property
    def counts(self) -> tuple[int, ...]:
        """`lengths` as numbers of the host, for which the device is not waited for."""
        return tuple(self.lengths.tolist() if self._counts is None else self._counts)

    @cached_property
    def _divisors(self) -> Tensor:
        """``[S]`` lengths, at least 1; `lengths` itself where it comes from the host."""
        if self._counts is not None and all(self._counts):
            return self.lengths
        return self.lengths.clamp(min=1)

    @cached_property
    def token_in_sequence(self) -> Tensor:
        """``[N]`` position of each token in its response, from 0."""
        starts = self.lengths.cumsum(0) - self.lengths
        place = torch.arange(self.sequence.numel(), device=self.sequence.device)
        return place - starts[self.sequence]

    def mean(self, x: Tensor) -> Tensor:
        """Token mean over the step. ``[N] -> []``."""
        _expect(x, self.target.numel(), "response tokens")
        return x.sum() / self.token_share if self.token_share else x.sum()

    def sequence_mean(self, x: Tensor) -> Tensor:
        """Sequence mean over the step. ``[S] -> []``."""
        _expect(x, len(self), "sequences")
        return x.sum() / self.sequence_share if self.sequence_share else x.sum()

    def row_sum(self, x: Tensor) -> Tensor:
        """Sum over each sequence's tokens. ``[N] -> [S]``."""
        _expect(x, self.target.numel(), "response tokens")
        return row_sum(x, self.sequence, len(self))

    def row_mean(self, x: Tensor) -> Tensor:
        """Mean over each sequence's tokens. ``[N] -> [S]``."""
        return self.row_sum(x) / self._divisors

    def metrics(self) -> dict[str, Tensor]:
        """Metrics of the stream that need nothing beyond what the objectives computed.

        ``nll`` (nats per token), ``log_ratio`` (policy minus reference, nats per sequence),
        ``kl`` (nats per token); each without gradient, as shares like `mean`.
        """
        done = self.__dict__
        found: dict[str, Tensor] = {}
        if "logps" in done:
            found["nll"] = self.mean(-self.logps.detach())
            if "ref_logps" in done:
                ratio = self.row_sum(self.logps.detach() - self.ref_logps)
                found["log_ratio"] = self.sequence_mean(ratio)
        if "_forward_kl" in done:
            found["kl"] = self.mean(self._forward_kl.detach())
        return found

    def _pattern(self, quantity: str) -> tuple[Pattern, ...]:
        return (self.patterns[quantity],) if quantity in self.patterns else ()

    def _need_reference(self) -> TokenSource:
        if self._reference is None:
            raise LookupError(
                "this objective reads reference values but does not say so: give its class "
                'needs = frozenset({"reference"})'
            )
        return self._reference


def _expect(x: Tensor, size: int, of: str) -> None:
    if x.shape[:1] != (size,):
        raise ValueError(f"expected one value for each of the {size} {of}, found {tuple(x.shape)}")
