"""Teacher-forced values of response tokens, for evaluation."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import PreTrainedModel

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, Layout, pack, part_of
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.generation.dealing import over_batches
from unlearnkit.engine.generation.forests import planned_passes
from unlearnkit.engine.generation.generate import device_of
from unlearnkit.engine.generation.watching import counting
from unlearnkit.engine.reference.kinds import Reference
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.views import TokenSource
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
    kl: Tensor | None
    """``[M]`` KL(reference ‖ model) in nats, where a reference was given; ``M`` tokens of the
    examples that are compared with it."""
    ref_logps: Tensor | None
    """``[M]`` log-probability of each token under the reference, where one was given."""
    sequence: Tensor
    """``[N]`` the example of each token, ascending."""
    sequences: int
    """``S``."""
    of_own_distribution: Tensor | None = None
    """What `standardised` gives, where it was asked for."""

    @property
    def standardised(self) -> Tensor:
        """``[N]`` what Min-K%++ ranks.

        Log-probability minus its mean under the model's own distribution, in standard deviations.

        Raises:
            LookupError: If they were not asked for.
        """
        if self.of_own_distribution is None:
            raise LookupError("standardised scores are made by score(..., standardised=True)")
        return self.of_own_distribution

    def first_correct(self) -> list[int]:
        """Tokens of each example up to the first that is not the model's first choice."""
        lengths = torch.bincount(self.sequence, minlength=self.sequences).tolist()
        return [int(each.long().cumprod(0).sum()) for each in self.correct.split(lengths)]

    def split(self, count: int) -> tuple[TokenScores, TokenScores]:
        """Scores of the first examples, all that were compared with a reference, and the rest."""
        first = int((self.sequence < count).sum())
        none = None if self.kl is None else self.logps[:0]
        own = self.of_own_distribution
        one = TokenScores(
            self.logps[:first],
            self.correct[:first],
            self.kl,
            self.ref_logps,
            self.sequence[:first],
            count,
            own if own is None else own[:first],
        )
        other = TokenScores(
            self.logps[first:],
            self.correct[first:],
            none,
            none,
            self.sequence[first:] - count,
            self.sequences - count,
            own if own is None else own[first:],
        )
        return one, other


def score(
    model: nn.Module,
    examples: Sequence[Example],
    *,
    batch_size: int = 16,
    reference: Reference | nn.Module | None = None,
    compared: int | None = None,
    standardised: bool = False,
) -> TokenScores:
    """Values of every response token, each predicted from the true tokens before it.

    Only response positions reach the output head, and logits exist for one chunk of
    them at a time. The model is in eval mode meanwhile. Equal prompts of a pass are computed once
    where that or the padding of rows makes a difference and the models can be packed.

    Args:
        model: A causal language model, or one wrapped by PEFT.
        examples: Prompts with responses.
        batch_size: Examples in one forward pass; those of one prompt or of like length go together.
        reference: Where given, its log-probabilities and the KL divergence from it are measured
            too; a model, or the reference of a run.
        compared: The reference is run on so many of the examples, from the first; None for all.
        standardised: Measure `TokenScores.standardised` too.

    Returns:
        The values on the CPU, in the order of the examples; float32, or float64 for a float64
        model.
    """
    among = len(examples) if compared is None else compared
    found: list[Sequence[Tensor]] = [()] * len(examples)
    with torch.no_grad(), evaluating(model), ExitStack() as stack:
        head = Head(model)
        if isinstance(reference, PreTrainedModel | PeftModel):
            reference = WholeModel(reference)
        other = getattr(reference, "model", None)
        models = [model, *([other] if isinstance(other, nn.Module) else [])]
        layout, passes = stack.enter_context(planned_passes(models, examples, batch_size))
        # Those that are compared come first, so that their tokens do.
        passes = [sorted(rows, key=lambda i: i >= among) for rows in passes]

        def run(number: int) -> Tensor:
            rows = passes[number]
            batch = _pack([examples[i] for i in rows], device_of(model), layout)
            known = sum(i < among for i in rows) if reference is not None else 0
            return _columns(model, head, batch, reference, known, standardised)

        costs = [sum(len(p) + len(r) for p, r, *_ in map(examples.__getitem__, i)) for i in passes]
        plan = ([(e.prompt_ids, e.response_ids) for e in examples], layout, batch_size, among)
        every = over_batches(models, costs, plan, run, counting([len(rows) for rows in passes]))
    for rows, columns in zip(passes, every, strict=True):
        sizes = [len(examples[i].response_ids) for i in rows]
        for i, column in zip(rows, columns.split(sizes, dim=1), strict=True):
            found[i] = column.unbind()
    lengths = torch.tensor([len(e.response_ids) for e in examples], dtype=torch.long)
    sequence = torch.repeat_interleave(torch.arange(len(examples)), lengths)
    whole = 3 if standardised else 2
    logps, correct, *own = _joined([each[:whole] for each in found], whole)
    kl, ref_logps = (None, None)
    if reference is not None:
        kl, ref_logps = _joined([each[whole:] for each in found[:among]], 2)
    return TokenScores(logps, correct.bool(), kl, ref_logps, sequence, len(examples), *own)


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
    device, head = device_of(model), Head(model)

    def run(number: int) -> Tensor:
        batch = _pack([examples[number]], device, "rows")
        tokens = torch.arange(batch.target.numel(), device=device)
        if compat == "open-unlearning":
            tokens = tokens[:-1]
        loss = -ForwardPass(model, head, batch).logps(tokens).mean()
        return gradient_norm(loss, model.parameters(), p).cpu()

    plan = [(e.prompt_ids, e.response_ids) for e in examples]
    costs = [len(prompt) + len(response) for prompt, response in plan]
    with torch.enable_grad(), evaluating(model):
        return torch.stack(over_batches([model], costs, plan, run))


class WholeModel:
    """A reference that is any model, kept as it is."""

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        self.model, self._head = model, Head(model)

    @torch.no_grad()
    def forward(self, batch: Batch, layers: Collection[int] = ()) -> ForwardPass:
        """One pass of the model in eval mode."""
        with evaluating(self.model):
            return ForwardPass(self.model, self._head, batch, layers=layers)


def _pack(examples: Sequence[Example], device: torch.device, layout: Layout) -> Batch:
    return pack({"probe": StreamBatch(tuple(examples), 1.0, 1.0)}, layout).to(device)


def _joined(parts: Sequence[Sequence[Tensor]], count: int) -> list[Tensor]:
    """``count`` columns of the examples, one after the other."""
    return [torch.cat(each) for each in zip(*parts, strict=True)] or [torch.zeros(0)] * count


def _columns(
    model: nn.Module,
    head: Head,
    batch: Batch,
    reference: Reference | None,
    known: int,
    standardised: bool,
) -> Tensor:
    """``[2 to 5, N]`` values of one batch, on the CPU; ``known`` examples are compared."""
    policy = ForwardPass(model, head, batch)
    other, compared = None, 0
    if reference is not None and known:
        part = batch if known == batch.sequences else part_of(batch, range(known))[0]
        other, compared = reference.forward(part), part.target.numel()
    parts: list[Tensor] = []
    for tokens in torch.arange(batch.target.numel(), device=batch.target.device).split(
        head.chunk_tokens
    ):
        target = batch.target[tokens]
        logits = at_least_float32(policy.logits(tokens))
        logs = logits.log_softmax(-1)
        found = [
            logs.gather(1, target[:, None])[:, 0],
            (logits.argmax(-1) == target).to(logs.dtype),
        ]
        if standardised:
            found.append(standardised_logps(logs, target))
        if other is not None:
            found += _compared(other, logits, tokens[tokens < compared], target)
        parts.append(torch.stack(found).cpu())
    return torch.cat(parts, dim=1)


def _compared(other: TokenSource, logits: Tensor, tokens: Tensor, target: Tensor) -> list[Tensor]:
    """KL and log-probabilities of a reference at the first tokens of a chunk, then nan."""
    ref_logits = at_least_float32(other.logits(tokens))
    count = len(tokens)
    logps = ref_logits.log_softmax(-1).gather(1, target[:count, None])[:, 0]
    found = (forward_kl(logits[:count], ref_logits), logps.to(logits.dtype))
    return [pad(each, (0, len(target) - count), value=math.nan) for each in found]
