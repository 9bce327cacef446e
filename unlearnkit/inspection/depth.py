"""Unlearning depth score, by states of one model put into another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.generation.generate import device_of
from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.errors import UserError
from unlearnkit.functional.core import at_least_float32, row_mean
from unlearnkit.models.modes import evaluating

TAU = 0.05
"""Nats a token: what a block has to carry of a fact to encode it."""
GONE, KEPT = 0.8, 0.2
"""Share of the blocks that carried the facts, above and below which a sentence speaks of them."""


@dataclass(frozen=True)
class Depth:
    """How deep forgetting goes, row by row.

    Args:
        gold: ``[rows][blocks]`` nats a token that the true answer loses where a block's output is
            the gold model's.
        after: The same with the unlearned model's.
        lost: ``[rows]`` nats a token by which the unlearned model itself finds the true answer less
            likely.
        tau: What a block has to lose with the gold model's states to encode a row.
    """

    gold: list[list[float]]
    after: list[list[float]]
    lost: list[float]
    tau: float = TAU

    @property
    def scores(self) -> list[float | None]:
        """Score of each row in [0, 1], or None where no block encodes it."""
        return [_score(*pair, self.tau) for pair in zip(self.gold, self.after, strict=True)]

    @property
    def score(self) -> float | None:
        """Mean over the rows that some block encodes; None if there are none."""
        found = [each for each in self.scores if each is not None]
        return fmean(found) if found else None

    @property
    def by_block(self) -> list[float | None]:
        """For each block, how much of what it carried is gone, mean over the rows it encodes."""
        found: list[float | None] = []
        for block in range(len(self.gold[0]) if self.gold else 0):
            shares = [
                _clipped(after[block] / gold[block])
                for gold, after in zip(self.gold, self.after, strict=True)
                if gold[block] > self.tau
            ]
            found.append(fmean(shares) if shares else None)
        return found

    @property
    def sentence(self) -> str:
        """What became of the rows, in a sentence.

        *Gone*: the states of the blocks that carried the rows are like the gold model's.
        *Suppressed before the head*: they are not, but those of the last block are.
        *Redirected*: not even those; the answer is turned away behind the blocks.
        *Still there*: nor is it, and the model answers as before.
        """
        known = [each for each in self.by_block if each is not None]
        if self.score is None or not known:
            return "No block of the model before carries these rows, so nothing can be told."
        if self.score >= GONE:
            return "Gone: the blocks that carried the rows no longer do."
        if known[-1] >= GONE:
            return "Suppressed before the head: earlier blocks still carry the rows."
        if self.score <= KEPT and fmean(self.lost) <= self.tau:
            return "Still there: all blocks carry the rows, and the model answers as before."
        if self.score <= KEPT:
            return "Redirected: all blocks still carry the rows."
        return "Gone in part: some of the blocks that carried the rows still do."


def depth(
    before: nn.Module,
    after: nn.Module,
    gold: nn.Module,
    rows: Sequence[Example],
    *,
    tau: float = TAU,
    batch_size: int = 8,
) -> Depth:
    r"""Measures in which decoder blocks an unlearned model still carries rows.

    The model before unlearning answers with the output of block ``l`` taken from another model:

    $$\Delta_l = \log p(y|x) - \log p(y|x; h_l \leftarrow h'_l)$$

    with the true answer's mean log-probability a token. With the gold model's states it is what
    block ``l`` and those before it carry of the row; blocks above ``tau`` encode it. The score is

    $$\frac{\sum_l \Delta^{gold}_l \min(\max(\Delta^{after}_l / \Delta^{gold}_l, 0), 1)}
           {\sum_l \Delta^{gold}_l}$$

    over those blocks: 1 for a model that is like gold inside, 0 for one that only answers
    otherwise.

    Args:
        before: The model before unlearning.
        after: The unlearned model.
        gold: A model that never saw the rows.
        rows: Prompts and true answers, as token ids.
        tau: In nats a token.
        batch_size: Rows that go through the models at once.

    Raises:
        UserError: If the models do not have the same blocks.

    References:
        Unlearning depth score, 2026, arXiv 2605.24614.
    """
    _refuse_other_blocks(before, after=after, gold=gold)
    found: dict[str, list[list[float]]] = {"gold": [], "after": []}
    lost: list[float] = []
    with torch.no_grad(), evaluating(before), evaluating(after), evaluating(gold):
        for start in range(0, len(rows), batch_size):
            some = tuple(rows[start : start + batch_size])
            batch = pack({"probe": StreamBatch(some, 1.0, 1.0)}, "rows").to(device_of(before))
            whole = _logps(before, batch, len(some))
            lost += (whole - _logps(after, batch, len(some))).tolist()
            for name, other in (("gold", gold), ("after", after)):
                changes = [
                    whole - _logps(before, batch, len(some), block, states)
                    for block, states in enumerate(_outputs(other, batch))
                ]
                found[name] += torch.stack(changes, dim=1).tolist()
    return Depth(found["gold"], found["after"], lost, tau)


def _score(gold: Sequence[float], after: Sequence[float], tau: float) -> float | None:
    encoding = [(g, a) for g, a in zip(gold, after, strict=True) if g > tau]
    if not encoding:
        return None
    return sum(g * _clipped(a / g) for g, a in encoding) / sum(g for g, _ in encoding)


def _clipped(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _refuse_other_blocks(before: nn.Module, **others: nn.Module) -> None:
    shapes = {name: _shape(model) for name, model in {"before": before, **others}.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {blocks} of width {width}"
                         for name, (blocks, width) in shapes.items())  # fmt: skip
        raise UserError(
            f"the models do not have the same decoder blocks: {told}",
            title="inspection",
            hint="States of one model can only be put into another of the same shape.",
        )


def _shape(model: nn.Module) -> tuple[int, int]:
    config: Any = model.config
    return len(decoder_blocks(model)), config.get_text_config().hidden_size


def _run(model: nn.Module, batch: Batch) -> Tensor:
    """``[B, T, V]`` logits."""
    return model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).logits


def _outputs(model: nn.Module, batch: Batch) -> list[Tensor]:
    """``[B, T, H]`` output of each decoder block."""
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _arguments: object, output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)

    hooks = [block.register_forward_hook(catch) for block in decoder_blocks(model)]
    try:
        _run(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return caught


@contextmanager
def _replaced(model: nn.Module, block: int | None, states: Tensor | None) -> Iterator[None]:
    """Puts states in place of a block's output."""
    if block is None:
        yield
        return

    def put(_module: nn.Module, _arguments: object, output: Any) -> Any:
        return (states, *output[1:]) if isinstance(output, tuple) else states

    hook = decoder_blocks(model)[block].register_forward_hook(put)
    try:
        yield
    finally:
        hook.remove()


def _logps(
    model: nn.Module,
    batch: Batch,
    rows: int,
    block: int | None = None,
    states: Tensor | None = None,
) -> Tensor:
    """``[rows]`` mean log-probability a token of the true answers."""
    with _replaced(model, block, states):
        logits = _run(model, batch).flatten(0, -2)[batch.source]
    logps = at_least_float32(logits).log_softmax(-1).gather(1, batch.target[:, None])[:, 0]
    return row_mean(logps, batch.sequence, rows)
