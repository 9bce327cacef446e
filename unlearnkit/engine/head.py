"""The output head, applied to response positions only and chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from unlearnkit.engine.modes import evaluating
from unlearnkit.errors import RecipeError
from unlearnkit.functional.core import at_least_float32, token_logps

CHUNK_BYTES = 64 * 2**20
"""Size of one chunk of float32 logits."""

Transform = Callable[[Tensor], Tensor]


class Head:
    """Turns hidden states into logits as the model itself does.

    Args:
        model: A causal language model of transformers, or a PEFT model around one.
        chunk_tokens: Tokens whose logits exist at one time; by default `CHUNK_BYTES` of them.
    """

    def __init__(self, model: nn.Module, chunk_tokens: int | None = None) -> None:
        self.module: nn.Module = model.get_output_embeddings()  # pyright: ignore
        self.transform = logit_transform(model)
        vocabulary = self.module.weight.shape[0]  # pyright: ignore
        self.chunk_tokens = chunk_tokens or max(16, CHUNK_BYTES // (4 * int(vocabulary)))

    def logits(self, hidden: Tensor) -> Tensor:
        """``[N, H] -> [N, V]``."""
        return self.transform(self.module(hidden))

    def logps(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Log-probability of each target. ``[N, H], [N] -> [N]`` float32."""
        return self._by_chunk(lambda h, t: token_logps(self.logits(h), t), hidden, target)

    def entropy(self, hidden: Tensor) -> Tensor:
        """Entropy of each distribution in nats. ``[N, H] -> [N]`` float32."""

        def entropy(h: Tensor) -> Tensor:
            logps = at_least_float32(self.logits(h)).log_softmax(-1)
            return -(logps.exp() * logps).sum(-1)

        return self._by_chunk(entropy, hidden)

    def forward_kl(
        self, hidden: Tensor, reference: Callable[[Tensor], Tensor], reference_hidden: Tensor
    ) -> Tensor:
        """KL(reference ‖ policy) of each distribution in nats. ``[N, H] -> [N]`` float32."""

        def forward_kl(h: Tensor, ref_h: Tensor) -> Tensor:
            with torch.no_grad():
                ref_logps = at_least_float32(reference(ref_h)).log_softmax(-1)
            logps = at_least_float32(self.logits(h)).log_softmax(-1)
            return (ref_logps.exp() * (ref_logps - logps)).sum(-1)

        return self._by_chunk(forward_kl, hidden, reference_hidden)

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


@contextmanager
def captured_states(head: nn.Module) -> Iterator[list[Tensor]]:
    """Catches what the model would feed to its head, and feeds one position instead.

    The head then costs nothing inside the model's own forward, whatever the architecture; the
    wanted positions are put through it afterwards.
    """
    caught: list[Tensor] = []

    def catch(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = arguments[0]
        caught.append(hidden)
        return (hidden[..., :1, :].detach(), *arguments[1:])

    handle = head.register_forward_pre_hook(catch)
    try:
        yield caught
    finally:
        handle.remove()


def logit_transform(model: nn.Module) -> Transform:
    """What the model does to its head's output: nothing, a soft cap, or a scale.

    Found by asking the model itself: the candidates that its config names are tried on a short
    input, and the one that gives the model's own logits is taken.

    Raises:
        RecipeError: If none does.
    """
    base: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model  # pyright: ignore
    head = base.get_output_embeddings()
    config = base.config.get_text_config()
    seen: list[Tensor] = []
    handle = head.register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    try:
        with torch.no_grad(), evaluating(base):
            device = next(base.parameters()).device
            ids = torch.arange(2, device=device).reshape(1, 2) % config.vocab_size
            logits = base(input_ids=ids, use_cache=False).logits
    finally:
        handle.remove()
    raw = seen[-1]
    for candidate in _candidates(config):
        if torch.allclose(candidate(raw).float(), logits.float(), rtol=1e-5, atol=1e-6):
            return candidate
    raise RecipeError(
        f"model.base: the head of {type(base).__name__} changes its logits in a way that is not "
        "known, so response-only logits would be wrong",
        hint="Please report the architecture.",
    )


def _identity(logits: Tensor) -> Tensor:
    return logits


def _candidates(config: Any) -> Iterator[Transform]:
    yield _identity
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:
        yield lambda logits: torch.tanh(logits / cap) * cap
    for name in ("logit_scale", "lm_head_multiplier"):
        scale = getattr(config, name, None)
        if scale:
            yield lambda logits, scale=scale: logits * scale
    divisor = getattr(config, "logits_scaling", None)
    if divisor:
        yield lambda logits: logits / divisor
