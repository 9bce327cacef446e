"""A step of 64 rows, and its losses by plain passes over rows of one length at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from architectures import VOCABULARY, tiny_model
from short_fits import objective
from torch import Tensor
from torch.nn import functional as F

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch

ROWS = 64
YAO = {"forget": "gradient_ascent", "mismatch": "random_mismatch", "retain": "retain_kl"}
NPO = {"forget": "npo", "retain": "retain_nll"}
"""Its weights of tokens are those that no pattern foresees."""
RMU = {"forget": "rmu", "retain": "retain_hidden"}


@cache
def streams() -> dict[str, StreamBatch]:
    """64 forget prompts, the last eight equal to the first; two random answers each; retain rows.

    Prompts have 1, 4 or 9 tokens and responses 1, 3, 6 or 8, so that plain passes are few.
    """
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())

    def answer(row: int) -> tuple[int, ...]:
        return ids((1, 3, 6, 8)[row % 4])

    prompts = [ids((1, 4, 9)[row % 3]) for row in range(ROWS - 8)]
    forget = [
        Example(prompt, answer(row), row, "f")
        for row, prompt in enumerate([*prompts, *prompts[:8]])
    ]
    mismatch = [Example(e.prompt_ids, ids(n), e.row, "m") for e in forget for n in (2, 7)]
    retain = [Example(ids((2, 5)[row % 2]), answer(row // 2), row, "r") for row in range(ROWS)]
    return {
        name: StreamBatch(tuple(rows), sum(len(e.response_ids) for e in rows), len(rows))
        for name, rows in (("forget", forget), ("mismatch", mismatch), ("retain", retain))
    }


def moved(model: Any) -> Any:
    """A little away from the reference, where KL has a gradient."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def model_of(name: str) -> Any:
    return tiny_model(name).to(torch.float32 if name == "gemma2" else torch.float64)


def _alike(examples: tuple[Example, ...]) -> Iterator[list[int]]:
    """Numbers of the rows of one prompt and one response length."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, e in enumerate(examples):
        groups[len(e.prompt_ids), len(e.response_ids)].append(number)
    yield from groups.values()


def plain_pass(model: Any, stream: str) -> tuple[list[Tensor], list[Tensor]]:
    """``[n, V]`` log-probabilities and ``[n, H]`` first blocks of each row, by transformers."""
    examples = streams()[stream].examples
    logs: list[Any] = [None] * len(examples)
    hidden: list[Any] = [None] * len(examples)
    for rows in _alike(examples):
        ids = torch.tensor([[*examples[r].prompt_ids, *examples[r].response_ids] for r in rows])
        output = model(input_ids=ids, use_cache=False, output_hidden_states=True)
        first = len(examples[rows[0]].prompt_ids)
        for row, logits, block in zip(rows, output.logits, output.hidden_states[1], strict=True):
            logs[row] = logits[first - 1 : -1].log_softmax(-1)
            hidden[row] = block[first:]
    return logs, hidden


def logps_of(logs: list[Tensor], stream: str) -> list[Tensor]:
    examples = streams()[stream].examples
    return [
        log[range(len(e.response_ids)), e.response_ids]
        for log, e in zip(logs, examples, strict=True)
    ]


def plain_loss(names: dict[str, str], policy: Any, reference: Any) -> Tensor:
    """The losses of the papers, written down row by row."""
    logs, blocks = zip(*(plain_pass(policy, name) for name in names), strict=True)
    logs, blocks = dict(zip(names, logs, strict=True)), dict(zip(names, blocks, strict=True))
    with torch.no_grad():
        old = {name: plain_pass(reference, name) for name in names}
    forget, retain = logps_of(logs["forget"], "forget"), logps_of(logs["retain"], "retain")
    if names is YAO:
        others = logps_of(logs["mismatch"], "mismatch")
        kl = [
            (ref.exp() * (ref - log)).sum(-1)
            for ref, log in zip(old["retain"][0], logs["retain"], strict=True)
        ]
        return (
            torch.cat(forget).mean()
            - torch.stack([each.mean() for each in others]).mean()
            + torch.cat(kl).mean()
        )
    if names is NPO:
        ratios = [
            one.sum() - other.sum()
            for one, other in zip(forget, logps_of(old["forget"][0], "forget"), strict=True)
        ]
        losses = -2 / 0.1 * F.logsigmoid(-0.1 * torch.stack(ratios))
        return losses.mean() - torch.cat(retain).mean()
    direction = objective("rmu", layer=0).control_vector(blocks["forget"][0].shape[-1])
    steered = [((block - direction) ** 2).mean() for block in blocks["forget"]]
    held = [
        ((one - other) ** 2).mean()
        for one, other in zip(blocks["retain"], old["retain"][1], strict=True)
    ]
    return torch.stack(steered).mean() + torch.stack(held).mean()
