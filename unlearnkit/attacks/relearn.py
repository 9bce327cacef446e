"""Training that brings a forgotten text back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning as L
import torch

from unlearnkit.attacks.measuring import Curve, Split, measure
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import Place, UserError
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.likelihood import NLL
from unlearnkit.suites.base import SuiteContext


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
) -> Curve:
    """Trains on the attacker's rows and measures the others as it goes.

    A model that never knew the text learns the held rows too, and perhaps the style of the
    others. What the unlearned model gains beyond that was hidden, not forgotten. Benign rows in
    the attacker's hand teach nothing of what is measured, so any gain was hidden.

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
        for i, example in enumerate(self._examples, start=1):
            ids = (example.prompt_ids, example.response_ids)
            rows.append([ids], Place(i), text=str(example))
        return rows


class _Watch(L.Callback):
    """Measures at the start, every so many steps, and at the end."""

    def __init__(self, every: int, measured: Callable[[int], dict[str, Any]]) -> None:
        self.every, self.measured = every, measured
        self.curve: Curve = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.curve.append(self.measured(0))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step % self.every == 0 or step == trainer.max_steps:
            self.curve.append(self.measured(step))
