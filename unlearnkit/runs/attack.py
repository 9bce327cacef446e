"""What brings a forgotten text back, on the unlearned model and on one that never knew it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import lightning as L
import torch
from torch import nn

from unlearnkit.data.codec import Codec
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.streams import Stream
from unlearnkit.engine.policy import load_model
from unlearnkit.errors import UserError
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.likelihood import NLL
from unlearnkit.suites.base import SuiteContext
from unlearnkit.suites.continuations import continuation_rows

FIGURES = ("rougeL_recall", "extraction_strength", "exact_memorization")
"""What is measured; all are 1 for a text that is recited."""
MAX_NEW_TOKENS = 64

Measured = dict[str, float]


@dataclass(frozen=True)
class Split:
    """Rows that the attacker holds, and the other forget rows, on which the attack is judged."""

    held: list[Example]
    others: list[Example]


def split_rows(examples: Sequence[Example], held: int, limit: int, seed: int) -> Split:
    """Draws the attacker's rows; of the others, at most ``limit``, evenly spaced.

    Raises:
        UserError: If no other row would be left.
    """
    if not 1 <= held < len(examples):
        raise UserError(
            f"--rows: expected 1 to {len(examples) - 1}, so that forget rows are left to be "
            f"measured, found {held}"
        )
    drawn = set(random.Random(seed).sample(range(len(examples)), held))
    others = [each for i, each in enumerate(examples) if i not in drawn]
    count = min(limit, len(others))
    return Split(
        [examples[i] for i in sorted(drawn)],
        [others[i * len(others) // count] for i in range(count)],
    )


def measure(
    model: nn.Module, tokenizer: Any, examples: Sequence[Example], context: SuiteContext
) -> Measured:
    """How well the model recites the examples, mean over rows."""
    rows = continuation_rows(model, tokenizer, context, examples, MAX_NEW_TOKENS)
    return {name: fmean(row[name] for row in rows) for name in FIGURES}


def relearn(
    base: Any,
    tokenizer: Any,
    split: Split,
    context: SuiteContext,
    *,
    steps: int,
    every: int,
    lr: float,
    batch_size: int = 4,
) -> list[dict[str, Any]]:
    """Trains on the attacker's rows and measures the others as it goes.

    A model that never knew the text learns the held rows too, and perhaps the style of the
    others. What the unlearned model gains beyond that was hidden, not forgotten.

    Args:
        base: The model under attack; it is loaded anew and the files are left as they are.
        tokenizer: Its tokenizer.
        split: Rows of the attacker and others.
        context: Seed and sizes.
        steps: Optimiser steps, AdamW at a constant rate.
        every: Steps between measurements.
        lr: Learning rate.
        batch_size: Rows of a step.

    Returns:
        A mapping a measurement: ``step``, and ``held/<figure>`` and ``others/<figure>``.

    References:
        Hu et al. 2024, "Jogging the memory of unlearned models through targeted relearning
        attacks", arXiv 2406.13356; Lynch et al. 2024, arXiv 2402.16835.
    """
    if steps < 1 or every < 1:
        raise UserError(f"--steps and --every: expected at least 1, found {steps} and {every}")
    L.seed_everything(context.seed, verbose=False)
    module = UnlearningModule(
        {"relearn": NLL(stream="forget")},
        base=base,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0),
        schedule="constant",
    )
    data = UnlearningDataModule(
        {"forget": _Rows(split.held)},
        tokenizer=tokenizer,
        batch_size=min(batch_size, len(split.held)),
        max_length=context.max_length,
        seed=context.seed,
    )
    module.configure_model()

    def measured(step: int) -> dict[str, Any]:
        found: dict[str, Any] = {"step": step}
        for kind, examples in (("held", split.held), ("others", split.others)):
            figures = measure(module.policy, tokenizer, examples, context)
            found |= {f"{kind}/{name}": value for name, value in figures.items()}
        return found

    watch = _Watch(every, measured)
    trainer = L.Trainer(
        max_steps=steps,
        callbacks=[watch],
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    return watch.curve


def quantize(
    base: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    context: SuiteContext,
    *,
    bits: Sequence[int],
) -> list[dict[str, Any]]:
    """Rounds the weights and measures: coarse weights forget small changes, unlearning included.

    Each row of a matrix of a linear layer is rounded to the nearest of ``2^bits - 1`` evenly
    spaced values, symmetric about 0; embeddings and norms are left as they are. The model then
    computes in its own dtype: only what is lost by rounding is measured.

    Returns:
        A mapping a number of bits, that of the untouched model first: ``bits``, and
        ``forget/<figure>``.

    References:
        Zhang et al. 2024, "Catastrophic failure of LLM unlearning via quantization",
        arXiv 2410.16454.
    """
    wrong = [each for each in bits if not 2 <= each <= 16]
    if wrong:
        raise UserError(f"--bits: expected 2 to 16, found {wrong[0]}")
    found: list[dict[str, Any]] = []
    for each in (None, *bits):
        model = load_model(base)
        if each is not None:
            _round_weights(model, each)
        figures = measure(model, tokenizer, examples, context)
        found.append({"bits": each, **{f"forget/{name}": value for name, value in figures.items()}})
    return found


def prefix(
    base: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    context: SuiteContext,
    *,
    shown: Sequence[int] = (0, 2, 4, 8, 16),
) -> list[dict[str, Any]]:
    """Shows the first tokens of the true answer and measures the rest.

    Returns:
        A mapping a number of tokens shown: ``shown``, and ``forget/<figure>`` over the rows that
        have two tokens left at the largest of them, the same rows throughout.

    References:
        Carlini et al. 2023, "Quantifying memorization across neural language models",
        arXiv 2202.07646.
    """
    model = load_model(base)
    lengths = [len(each.response_ids) for each in examples]
    numbers = [n for n in shown if n + 2 <= max(lengths)]
    kept = [e for e in examples if len(e.response_ids) >= max(numbers, default=0) + 2]
    found: list[dict[str, Any]] = []
    for n in numbers:
        moved = [
            e._replace(
                prompt_ids=e.prompt_ids + e.response_ids[:n], response_ids=e.response_ids[n:]
            )
            for e in kept
        ]
        figures = measure(model, tokenizer, moved, context)
        found.append({"shown": n, **{f"forget/{name}": value for name, value in figures.items()}})
    return found


class _Rows(Stream):
    """Rows that are tokenised already."""

    def __init__(self, examples: Sequence[Example]) -> None:
        super().__init__()
        self._examples = examples

    def check(self) -> None:
        """Nothing is left to check."""

    def encode(
        self, name: str, codec: Codec, others: Mapping[str, StreamData], seed: int
    ) -> StreamData:
        """The rows."""
        rows = EncodedRows(name, "attack")
        for i, example in enumerate(self._examples):
            rows.append([(example.prompt_ids, example.response_ids)], line=i, text=str(example))
        return rows


class _Watch(L.Callback):
    """Measures at the start, every so many steps, and at the end."""

    def __init__(self, every: int, measured: Callable[[int], dict[str, Any]]) -> None:
        self.every, self.measured = every, measured
        self.curve: list[dict[str, Any]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.curve.append(self.measured(0))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step % self.every == 0 or step == trainer.max_steps:
            self.curve.append(self.measured(step))


@torch.no_grad()
def _round_weights(model: nn.Module, bits: int) -> None:
    largest = 2 ** (bits - 1) - 1
    tied = model.get_input_embeddings().weight  # pyright: ignore
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer.weight is not tied:
            scale = layer.weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / largest
            layer.weight.copy_((layer.weight / scale).round() * scale)
