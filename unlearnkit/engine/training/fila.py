"""FILA: initialises the adapter by importance to the forget set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor

from unlearnkit.data.encoded import StreamData
from unlearnkit.data.pack import Layout, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.functional.fila import relative_importance, weighted_low_rank
from unlearnkit.models.adapter import importance_of
from unlearnkit.models.adapter_init import adapted, begin_with, refuse_other_layers, weight_of
from unlearnkit.models.modes import evaluating

Rows = list[tuple[int, int]]


def begin_by_importance(
    policy: PeftModel,
    head: Head,
    lora: LoraConfig,
    data: Mapping[str, StreamData],
    layout: Layout,
    seed: int,
) -> None:
    """Fills a new adapter by FILA. The model computes what it did before. Safe to call twice.

    Holds two float32 copies of the adapted weights while it runs, and makes a forward and a
    backward pass for every row of the forget stream and for as many of the retain stream.

    Args:
        policy: The model with a new adapter, which is a no-op.
        head: Its output head.
        lora: The adapter's config.
        data: The streams.
        layout: How rows are packed.
        seed: Of the retain rows that are drawn, and of a randomised decomposition.

    Raises:
        RecipeError: If a layer that is adapted is not a linear one.

    References:
        Cha et al. 2024, "Towards Robust and Parameter-Efficient Knowledge Unlearning for LLMs"
        (LoKU), arXiv 2408.06621.
    """
    wanted = importance_of(lora)
    assert wanted is not None
    layers = dict(adapted(policy))
    if any(hasattr(layer, "start") for layer in layers.values()):
        return
    for layer in layers.values():
        refuse_other_layers(layer)
    forget, retain = data[wanted.forget], data[wanted.retain]
    size = wanted.batch_size
    passes = {
        "forget": _batches([(row, row) for row in range(len(forget))], size),
        "retain": _batches(_drawn(len(forget), len(retain), seed), size),
    }
    weights = {name: layer.get_base_layer().weight for name, layer in layers.items()}
    fisher = {
        key: diagonal_fisher(policy, head, stream, passes[key], weights, layout)
        for key, stream in (("forget", forget), ("retain", retain))
    }
    for name, layer in layers.items():
        on_forget, on_retain = (fisher[key].pop(name) for key in ("forget", "retain"))
        if layer.fan_in_fan_out:
            on_forget, on_retain = on_forget.T, on_retain.T
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            a, b = weighted_low_rank(
                weight_of(layer),
                relative_importance(on_forget, on_retain),
                layer.r["default"],
                layer.scaling["default"],
                iterations=getattr(lora, "svd_iterations", None),
            )
        begin_with(layer, a, b)


def diagonal_fisher(
    model: torch.nn.Module,
    head: Head,
    data: StreamData,
    batches: Iterable[Rows],
    weights: Mapping[str, Tensor],
    layout: Layout,
) -> dict[str, Tensor]:
    r"""Squared gradients of the NLL, averaged over batches by their response tokens.

    $$F = \frac{\sum_b n_b \, (\partial C_b / \partial W)^2}{\sum_b n_b}$$

    Args:
        model: In eval mode meanwhile.
        head: Its output head.
        data: The rows.
        batches: Rows and their occurrences; ``C_b`` is the mean NLL of a batch's ``n_b`` tokens.
        weights: The parameters by name.
        layout: How rows are packed.

    Returns:
        A float32 tensor of each weight's shape.
    """
    found = {
        name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in weights.items()
    }
    total = 0
    before = {name: weight.requires_grad for name, weight in weights.items()}
    device = next(iter(weights.values())).device
    try:
        for weight in weights.values():
            weight.requires_grad_(True)
        with evaluating(model), torch.enable_grad():
            for rows in batches:
                examples = tuple(e for row, draw in rows for e in data.at(row, draw))
                batch = pack({"rows": StreamBatch(examples, 1, 1)}, layout).to(device)
                tokens = torch.arange(len(batch.target), device=device)
                if not len(tokens):
                    continue
                nll = -ForwardPass(model, head, batch).logps(tokens).mean()
                gradients = torch.autograd.grad(nll, list(weights.values()))
                for name, gradient in zip(weights, gradients, strict=True):
                    found[name] += len(tokens) * gradient.float().square()
                total += len(tokens)
    finally:
        for name, weight in weights.items():
            weight.requires_grad_(before[name])
    return {name: each / max(total, 1) for name, each in found.items()}


def _batches(rows: Rows, size: int) -> Iterator[Rows]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def _drawn(wanted: int, rows: int, seed: int) -> Rows:
    """Rows without replacement, pass by pass, and how many were drawn before each."""
    generator = torch.Generator().manual_seed(seed)
    drawn: list[int] = []
    while len(drawn) < wanted:
        drawn += torch.randperm(rows, generator=generator).tolist()
    return [(row, occurrence) for occurrence, row in enumerate(drawn[:wanted])]
