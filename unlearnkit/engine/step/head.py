"""The output head, applied to response positions only and chunk by chunk."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from unlearnkit.cost.head_sizes import sizes
from unlearnkit.engine.step import kernels
from unlearnkit.engine.step.patterns import Pattern
from unlearnkit.functional.core import log_probabilities, token_logps
from unlearnkit.functional.divergence import forward_kl
from unlearnkit.models.adapter import without_adapter
from unlearnkit.models.logit_transform import logit_transform


def memory_of(device: torch.device) -> int:
    """What `sizes` asks for: bytes that are free on a GPU, or those that a machine has."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 4 * 2**30


class Head:
    """Turns hidden states into logits as the model itself does.

    A plain linear head goes through `unlearnkit.engine.step.kernels`; any other (one with an
    adapter, a bias, quantised or sharded weights) is called as it is, chunk by chunk, and once
    more in the backward pass.

    Args:
        model: A causal language model of transformers, or a PEFT model around one.
        chunk_tokens: Tokens whose logits exist at one time; by default what `sizes` allows.
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
        self._chunk_tokens = chunk_tokens
        self._kernel: kernels.HeadKernel = kernel

    @cached_property
    def options(self) -> kernels.Options:
        """Sizes for the device that the head is on when it is first used."""
        allowed = sizes(self._weight.device.type, memory_of(self._weight.device))
        tokens = self._chunk_tokens or allowed.tokens(self._weight.shape[0])
        return kernels.Options(self.transform, tokens, allowed.gradient, self._kernel)

    @property
    def chunk_tokens(self) -> int:
        """Tokens whose logits exist at one time."""
        return self.options.chunk

    def without_adapter(self) -> Head:
        """The head as it is where an adapter on it is off; itself if it has none."""
        module = without_adapter(self.module)
        if module is self.module:
            return self
        bare = copy.copy(self)
        bare.module = module
        vars(bare).pop("options", None)
        return bare

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
