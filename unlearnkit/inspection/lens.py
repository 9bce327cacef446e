"""Logit lens and tuned lens on each decoder block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.generation.generate import device_of
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.states import block_states, final_norm
from unlearnkit.errors import UserError
from unlearnkit.functional.core import row_mean
from unlearnkit.models.modes import evaluating

NAME = "inspect"
STEPS = 100
"""Of the training of a tuned lens."""
LR = 1e-3
_TOKENS = 256
Lenses: TypeAlias = dict[str, dict[str, list[float]]]
"""Curves by lens (``logit``, ``tuned``) and model: nats a token for each decoder block."""


@dataclass(frozen=True)
class Translators:
    """What brings the states of each block but the last to where the last block's are.

    Args:
        weight: ``[L - 1, H, H]``.
        bias: ``[L - 1, H]``.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, states: Tensor, block: int) -> Tensor:
        """``[N, H]`` states of a block, translated; those of the last one as they are."""
        if block == len(self.weight):
            return states
        return states + states @ self.weight[block].to(states) + self.bias[block].to(states)


def lens_curve(
    model: nn.Module,
    rows: Sequence[Example],
    translators: Translators | None = None,
    *,
    batch_size: int = 8,
) -> list[float]:
    """How likely the true answers are, read out of each decoder block by norm and head.

    Args:
        model: A causal language model.
        rows: Prompts and true answers.
        translators: Those of `tuned_lens`; None for the logit lens.
        batch_size: Rows that go through the model at once.

    Returns:
        For each block, nats a token: mean over a row's tokens, then over rows. The last is the
        model's own.

    Raises:
        UserError: If the model's final norm is not found.

    References:
        nostalgebraist 2020, "Interpreting GPT: the logit lens".
    """
    found: list[list[Tensor]] = []
    with torch.no_grad(), evaluating(model):
        head, norm = Head(model), final_norm(model, NAME)
        for batch, count in _batches(model, rows, batch_size):
            for block, states in enumerate(block_states(model, batch, norm, NAME)):
                if block == len(found):
                    found.append([])
                read = states if translators is None else translators(states, block)
                logps = head.logps(norm(read), batch.target)
                found[block].append(row_mean(logps, batch.sequence, count))
    return [float(torch.cat(values).mean()) for values in found]


def tuned_lens(
    model: nn.Module,
    rows: Sequence[Example],
    *,
    steps: int = STEPS,
    lr: float = LR,
    batch_size: int = 8,
    seed: int = 0,
) -> Translators:
    """Trains an affine map for each block but the last, on rows that have nothing to forget.

    Each map begins as the identity and learns, by Adam, to give the model's own distribution: its
    loss is the KL divergence from that to what is read through the map.

    Args:
        model: A causal language model, which is left as it is.
        rows: Normal rows.
        steps: Optimiser steps, each on at most 256 tokens.
        lr: Learning rate.
        batch_size: Rows that go through the model at once.
        seed: Of the choice of tokens.

    Raises:
        UserError: If the model's final norm is not found.

    References:
        Belrose et al. 2023, "Eliciting Latent Predictions from Transformers with the Tuned Lens",
        arXiv 2303.08112, sec. 2.
    """
    with evaluating(model), _frozen(model):
        head, norm = Head(model), final_norm(model, NAME)
        with torch.no_grad():
            parts = [
                torch.stack(block_states(model, batch, norm, NAME))
                for batch, _ in _batches(model, rows, batch_size)
            ]
        states = torch.cat(parts, dim=1)  # [L, N, H]
        blocks, tokens, width = states.shape
        like = {"device": states.device, "dtype": torch.float32}
        weight = torch.zeros(blocks - 1, width, width, **like, requires_grad=True)
        bias = torch.zeros(blocks - 1, width, **like, requires_grad=True)
        translators = Translators(weight, bias)
        optimizer = torch.optim.Adam([weight, bias], lr=lr)
        drawn = torch.Generator().manual_seed(seed)
        for _ in range(steps if blocks > 1 else 0):
            some = states[:, torch.randperm(tokens, generator=drawn)[:_TOKENS].to(states.device)]
            read = torch.cat([norm(translators(some[b], b)) for b in range(blocks - 1)])
            own = norm(some[-1]).repeat(blocks - 1, 1)
            loss = head.forward_kl(read, head.logits, own).mean() * (blocks - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Translators(weight.detach(), bias.detach())


def lenses(
    models: Mapping[str, nn.Module],
    rows: Sequence[Example],
    normal: Sequence[Example],
    *,
    steps: int = STEPS,
    batch_size: int = 8,
) -> tuple[Lenses, list[str]]:
    """Curves of all models by both lenses, each model with maps of its own.

    Args:
        models: By name.
        rows: Forget rows.
        normal: Rows that the maps are trained on.
        steps: Of that training; 0 leaves the tuned lens out.
        batch_size: Rows that go through a model at once.

    Returns:
        The curves by lens and model, and why one is left out, a sentence each.
    """
    try:
        plain = {name: lens_curve(m, rows, batch_size=batch_size) for name, m in models.items()}
    except UserError as error:
        return {}, [f"both lenses: {error.message}"]
    found = {"logit": plain}
    if steps and not normal:
        return found, ["tuned lens: the recipe has no normal rows to train it on"]
    if steps:
        found["tuned"] = {}
        for name, model in models.items():
            maps = tuned_lens(model, normal, steps=steps, batch_size=batch_size)
            found["tuned"][name] = lens_curve(model, rows, maps, batch_size=batch_size)
    return found, []


def _batches(
    model: nn.Module, rows: Sequence[Example], batch_size: int
) -> Iterator[tuple[Batch, int]]:
    for start in range(0, len(rows), batch_size):
        some = tuple(rows[start : start + batch_size])
        yield pack({"probe": StreamBatch(some, 1.0, 1.0)}, "rows").to(device_of(model)), len(some)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Lets no weight of the model have a gradient for a while."""
    trained = [each for each in model.parameters() if each.requires_grad]
    for each in trained:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in trained:
            each.requires_grad_(True)
