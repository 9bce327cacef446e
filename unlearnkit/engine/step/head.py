"""The output head, applied to response positions only and chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from unlearnkit.engine.step import kernels
from unlearnkit.engine.step.patterns import Pattern
from unlearnkit.functional.core import log_probabilities, token_logps
from unlearnkit.functional.divergence import forward_kl
from unlearnkit.models.logit_transform import logit_transform

CHUNK_BYTES = 34 * 2**20
"""Size of one chunk of float32 logits. The C library maps blocks above 32 MiB one by one and gives
them back at once; smaller ones leave holes in its heap, twice the peak with 128256 tokens."""
GRADIENT_BYTES = 512 * 2**20
"""Largest gradient of the head's weight that is kept per stream rather than computed later."""


class Head:
    """Turns hidden states into logits as the model itself does.

    A plain linear head goes through `unlearnkit.engine.step.kernels`; any other (one with an
    adapter, a bias, quantised or sharded weights) is called as it is, chunk by chunk, and once
    more in the backward pass.

    Args:
        model: A causal language model of transformers, or a PEFT model around one.
        chunk_tokens: Tokens whose logits exist at one time; by default `CHUNK_BYTES` of them.
        kernel: What computes log-probabilities through a plain head.
    """

    def __init__(
        self,
        model: nn.Module,
        chunk_tokens: int | None = None,
        kernel: kernels.HeadKernel = "torch",
    ) -> None:
        self.module: nn.Module = model.get_output_embeddings()  # pyright: ignore
        self.transform = logit_transform(model)
        vocabulary = int(self.module.weight.shape[0])  # pyright: ignore
        self.chunk_tokens = chunk_tokens or max(16, CHUNK_BYTES // (4 * vocabulary))
        self.options = kernels.Options(self.transform, self.chunk_tokens, GRADIENT_BYTES, kernel)

    @property
    def plain(self) -> bool:
        """Whether the head is a weight and nothing else."""
        return (
            type(self.module) is nn.Linear
            and self.module.bias is None
            and not isinstance(self.module.weight, DTensor)
            and not self.module._forward_pre_hooks
            and not self.module._forward_hooks
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """``[N, H] -> [N, V]``."""
        return self.transform(self.module(hidden))

    def logps(self, hidden: Tensor, target: Tensor, pattern: Pattern | None = None) -> Tensor:
        """Log-probability of each target.

        Args:
            hidden: ``[N, H]``.
            target: ``[N]``.
            pattern: Weights that the loss will give to the tokens, where that is known.

        Returns:
            ``[N]`` float32.
        """
        if self.plain:
            return kernels.token_logps(hidden, self._weight, target, pattern, self.options)
        return self._by_chunk(lambda h, t: token_logps(self.logits(h), t), hidden, target)

    def entropy(self, hidden: Tensor) -> Tensor:
        """Entropy of each distribution in nats. ``[N, H] -> [N]`` float32."""

        def entropy(h: Tensor) -> Tensor:
            logps = log_probabilities(self.logits(h))
            return -(logps.exp() * logps).sum(-1)

        return self._by_chunk(entropy, hidden)

    def forward_kl(
        self,
        hidden: Tensor,
        reference: Callable[[Tensor], Tensor],
        reference_hidden: Tensor,
        pattern: Pattern | None = None,
    ) -> Tensor:
        """KL(reference ‖ policy) of each distribution in nats.

        Args:
            hidden: ``[N, H]`` of the policy.
            reference: The reference's head, ``[n, H'] -> [n, V]``.
            reference_hidden: ``[N, H']`` of the reference.
            pattern: As in `logps`.

        Returns:
            ``[N]`` float32.
        """
        if self.plain:
            return kernels.token_forward_kl(
                hidden, self._weight, reference, reference_hidden, pattern, self.options
            )

        def kl(h: Tensor, ref_h: Tensor) -> Tensor:
            with torch.no_grad():
                ref_logits = reference(ref_h)
            return forward_kl(self.logits(h), ref_logits)

        return self._by_chunk(kl, hidden, reference_hidden)

    @property
    def _weight(self) -> Tensor:
        return self.module.weight  # pyright: ignore

    def _by_chunk(self, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        chunks = zip(*(t.split(self.chunk_tokens) for t in tensors), strict=True)
        keep = torch.is_grad_enabled()
        done = [
            checkpoint(function, *chunk, use_reentrant=False, preserve_rng_state=False)
            if keep
            else function(*chunk)
            for chunk in chunks
        ]
        return torch.cat(done)  # pyright: ignore
