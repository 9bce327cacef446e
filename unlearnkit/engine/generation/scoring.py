"""Teacher-forced values of response tokens, for evaluation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.generation.generate import device_of
from unlearnkit.engine.reference.kinds import Reference
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.functional.core import at_least_float32
from unlearnkit.functional.divergence import forward_kl
from unlearnkit.functional.membership import gradient_norm, standardised_logps
from unlearnkit.models.modes import evaluating


@dataclass(frozen=True)
class TokenScores:
    """Values of the ``N`` response tokens of ``S`` examples, in their order."""

    logps: Tensor
    """``[N]`` log-probability of each token, in nats."""
    correct: Tensor
    """``[N]`` whether the token is the model's first choice."""
    standardised: Tensor
    """``[N]`` log-probability minus its mean under the model's own distribution, in standard
    deviations: what Min-K%++ ranks."""
    kl: Tensor | None
    """``[N]`` KL(reference ‖ model) in nats, where a reference was given."""
    ref_logps: Tensor | None
    """``[N]`` log-probability of each token under the reference, where one was given."""
    sequence: Tensor
    """``[N]`` the example of each token, ascending."""
    sequences: int
    """``S``."""


def score(
    model: nn.Module,
    examples: Sequence[Example],
    *,
    batch_size: int = 16,
    reference: Reference | nn.Module | None = None,
) -> TokenScores:
    """Values of every response token, each predicted from the true tokens before it.

    Only response positions reach the output head, and logits exist for one chunk of
    them at a time. The model is in eval mode meanwhile.

    Args:
        model: A causal language model, or one wrapped by PEFT.
        examples: Prompts with responses.
        batch_size: Examples in one forward pass; those of like length go together.
        reference: Where given, its log-probabilities and the KL divergence from it are measured
            too; a model, or the reference of a run.

    Returns:
        The values on the CPU, in the order of the examples; float32, or float64 for a float64
        model.
    """
    order = sorted(range(len(examples)), key=lambda i: sum(map(len, examples[i][:2])))
    found: list[Sequence[Tensor]] = [()] * len(examples)
    with torch.no_grad(), evaluating(model):
        head = Head(model)
        if isinstance(reference, PreTrainedModel | PeftModel):
            reference = WholeModel(reference)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = [examples[i] for i in rows]
            lengths = [len(e.response_ids) for e in batch]
            columns = _columns(model, head, batch, reference).split(lengths, dim=1)
            for i, column in zip(rows, columns, strict=True):
                found[i] = column.unbind()
    lengths = torch.tensor([len(e.response_ids) for e in examples], dtype=torch.long)
    sequence = torch.repeat_interleave(torch.arange(len(examples)), lengths)
    empty = [torch.zeros(0)] * (3 if reference is None else 5)
    columns = [torch.cat(parts) for parts in zip(*found, strict=True)] or empty
    logps, correct, standardised = columns[:3]
    kl, ref_logps = (None, None) if reference is None else columns[3:]
    return TokenScores(logps, correct.bool(), standardised, kl, ref_logps, sequence, len(examples))


def gradient_norms(
    model: nn.Module,
    examples: Sequence[Example],
    p: float = 2.0,
    *,
    compat: Literal["open-unlearning"] | None = None,
) -> Tensor:
    """`membership.gradient_norm` of each example's mean negative log-likelihood. ``[S]``.

    The model is in eval mode meanwhile, and gradients that it holds are left alone.

    Args:
        model: A causal language model, or one wrapped by PEFT (then of the adapter alone).
        examples: Prompts with responses.
        p: Order of the norms.
        compat: ``open-unlearning`` leaves out each response's last token.
    """
    device = device_of(model)
    norms: list[Tensor] = []
    with torch.enable_grad(), evaluating(model):
        head = Head(model)
        for example in examples:
            batch = _pack([example], device)
            tokens = torch.arange(batch.target.numel(), device=device)
            if compat == "open-unlearning":
                tokens = tokens[:-1]
            loss = -ForwardPass(model, head, batch).logps(tokens).mean()
            norms.append(gradient_norm(loss, model.parameters(), p).cpu())
    return torch.stack(norms)


class WholeModel:
    """A reference that is any model, kept as it is."""

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        self._model, self._head = model, Head(model)

    @torch.no_grad()
    def forward(self, batch: Batch, layers: Collection[int] = ()) -> ForwardPass:
        """One pass of the model in eval mode."""
        with evaluating(self._model):
            return ForwardPass(self._model, self._head, batch, layers=layers)


def _pack(examples: Sequence[Example], device: torch.device) -> Batch:
    return pack({"probe": StreamBatch(tuple(examples), 1.0, 1.0)}, "rows").to(device)


def _columns(
    model: nn.Module, head: Head, examples: Sequence[Example], reference: Reference | None
) -> Tensor:
    """``[3 or 5, N]`` values of one batch, on the CPU."""
    batch = _pack(examples, device_of(model))
    policy = ForwardPass(model, head, batch)
    other = None if reference is None else reference.forward(batch)
    parts: list[Tensor] = []
    for tokens in torch.arange(batch.target.numel(), device=batch.target.device).split(
        head.chunk_tokens
    ):
        target = batch.target[tokens]
        logits = at_least_float32(policy.logits(tokens))
        logs = logits.log_softmax(-1)
        figures = [
            logs.gather(1, target[:, None])[:, 0],
            (logits.argmax(-1) == target).to(logs.dtype),
            standardised_logps(logs, target),
        ]
        if other is not None:
            ref_logits = at_least_float32(other.logits(tokens))
            ref_logps = ref_logits.log_softmax(-1).gather(1, target[:, None])[:, 0]
            figures += [forward_kl(logits, ref_logits), ref_logps.to(logs.dtype)]
        parts.append(torch.stack(figures).cpu())
    return torch.cat(parts, dim=1)
