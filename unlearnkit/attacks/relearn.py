"""Trains on some forget rows and measures the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning as L
import torch

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import (
    Split,
    benign_split,
    measure,
    notes_on,
    split_rows,
)
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import Place, UserError
from unlearnkit.models.adapter import LoraConfig
from unlearnkit.models.base import BaseModel
from unlearnkit.models.composite.base import CompositeConfig, open_to_attacker
from unlearnkit.models.load import load_config, load_model
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.likelihood import NLL
from unlearnkit.suites.parts.probes import read_probes

BATCH_SIZE = 4
"""Rows of a step."""


class Relearn(Attack, name="relearn"):
    """Train on a few of the forget rows, and measure all others.

    A model that never knew the text learns the held rows too, and perhaps the style of the
    others. What the unlearned model gains beyond that was hidden, not forgotten. Benign rows in
    the attacker's hand teach nothing of what is measured, so any gain was hidden. A curve has one
    mapping per measurement: ``step``, and ``trained/<metric>`` of the rows that the attacker trains
    on and ``others/<metric>`` of the others.

    All weights are trained, or with ``lora`` an adapter; of a composite model, its trained
    component, or else the base below its gate, context or rule.

    Args:
        rows: Rows that are trained on.
        steps: Optimiser steps, AdamW at a constant rate.
        every: Steps between two measurements.
        at: Steps after which is measured, such as ``[5, 20]``, in place of ``every``; the last is
            measured too.
        lora: Rank of an adapter on all linear layers that is trained in place of all weights.
        lr: Learning rate.
        limit: Rows measured at most, evenly spaced.
        data: A stream of the recipe or a file of benign rows to train on, in place of forget rows.
        seed: Of the choice of rows, and of the training.

    References:
        Hu et al. 2024, "Jogging the memory of unlearned models through targeted relearning
        attacks", arXiv 2406.13356; Lynch et al. 2024, arXiv 2402.16835.
    """

    def __init__(
        self,
        rows: int = 8,
        steps: int = 20,
        every: int = 5,
        at: list[int] | None = None,
        lora: int | None = None,
        lr: float = 1e-4,
        limit: int = 32,
        data: str | None = None,
        seed: int = 0,
    ) -> None:
        if steps < 1 or every < 1:
            raise UserError(f"--steps and --every: expected at least 1, found {steps} and {every}")
        if at is not None and not (at and all(1 <= step <= steps for step in at)):
            raise UserError(f"--at: expected steps from 1 to {steps}, found {at}")
        if lora is not None and lora < 1:
            raise UserError(f"--lora: expected a rank of at least 1, found {lora}")
        self.at, self.lora = at, lora
        self.rows, self.steps, self.every, self.lr = rows, steps, every, lr
        self.limit, self.data, self.seed = check_limit(limit), data, seed

    @property
    def without_effect(self) -> dict[str, str]:
        """Steps that are named take the place of others."""
        return {} if self.at is None else {"every": "with --at"}

    def prepare(self, target: Target) -> Split:
        """Draws the rows that are trained on."""
        self.refuse_without_effect()
        if self.data is None:
            return split_rows(target.examples, self.rows, self.limit, self.seed)
        benign = read_probes(
            {"benign": self.data}, target.tokenizer, target.context, prompt_tokens=32, limit=None
        )["benign"]
        return benign_split(benign, target.examples, self.rows, self.limit, self.seed)

    def notes(self, rows: Split, target: Target) -> list[str]:
        """Rows that are cut, or have no word; of benign ones, nothing is known of their cuts."""
        trained = {} if self.data else {"trained": rows.held}
        return notes_on({**trained, "others": rows.others}, target)

    def changes(self, base: str | BaseModel) -> str:
        """The part of the model that has gradients."""
        if self.lora is not None:
            return f"an adapter of rank {self.lora}"
        config = load_config(base)
        return config.attacked if isinstance(config, CompositeConfig) else "all weights"

    def run(self, base: str | BaseModel, rows: Split, target: Target) -> Curve:
        """Trains a copy of the model, and measures as it goes.

        Raises:
            UserError: If an adapter is asked for on a composite model.
        """
        if self.lora is not None and isinstance(load_config(base), CompositeConfig):
            raise UserError(
                "--lora: an adapter goes on one model, and a composite model has several.",
                hint="Leave --lora away: the part of it that can be trained is.",
            )
        rank = self.lora
        adapter = rank and LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
        L.seed_everything(self.seed, verbose=False)
        module = UnlearningModule(
            {"relearn": NLL(stream="forget")},
            base=base,
            optimizer=lambda parameters: torch.optim.AdamW(
                parameters, lr=self.lr, weight_decay=0.0
            ),
            schedule="constant",
            lora=adapter or None,
        )
        data = UnlearningDataModule(
            {"forget": _Rows(rows.held)},
            tokenizer=target.tokenizer,
            batch_size=min(BATCH_SIZE, len(rows.held)),
            max_length=target.context.max_length,
            seed=self.seed,
        )
        model = load_model(base)
        open_to_attacker(model)
        module.use_model(model)

        def measured(step: int) -> dict[str, Any]:
            found: dict[str, Any] = {"step": step}
            for kind, examples in (("trained", rows.held), ("others", rows.others)):
                metrics = measure(module.policy, target.tokenizer, examples, target.context)
                found |= {f"{kind}/{name}": value for name, value in metrics.items()}
            return found

        steps = self.at or range(self.every, self.steps, self.every)
        watch = _Watch({*steps, self.steps}, measured)
        trainer = L.Trainer(
            max_steps=self.steps,
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
    """Measures at the start, and after some steps."""

    def __init__(self, steps: set[int], measured: Callable[[int], dict[str, Any]]) -> None:
        self.steps, self.measured = steps, measured
        self.curve: Curve = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.curve.append(self.measured(0))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step in self.steps:
            self.curve.append(self.measured(step))
