"""Rules on trainer, callbacks, suites and phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import nn

from unlearnkit.attacks import Attack, Target
from unlearnkit.attacks.addresses import check_goal_addresses
from unlearnkit.callbacks.base import NamedCallback
from unlearnkit.callbacks.evaluate_every import EvaluateEvery, check_addresses
from unlearnkit.callbacks.monitors import check_monitors
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.leaks import refuse_leaks
from unlearnkit.data.worded import WordedRows
from unlearnkit.engine.preflight import MODEL, Rule, Values, refuse
from unlearnkit.engine.preflight.length import tell_unreached
from unlearnkit.engine.preflight.rounding import tell_rounding
from unlearnkit.engine.training.apart import measures_apart, step_of
from unlearnkit.engine.training.fsdp2 import is_sharded, shards_checkpoints
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import refuse_other_tokens
from unlearnkit.models.check import check_whole
from unlearnkit.models.load import load_config
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.planning.backends import BACKENDS
from unlearnkit.runs.resume.slurm import leftover_of_lightning
from unlearnkit.runs.start import Batches
from unlearnkit.suites.base import Suite, SuiteContext


@dataclass
class Planned:
    """A run that is to be checked.

    Args:
        module: Objectives and model.
        data: Streams.
        trainer: Lightning's trainer.
        suites: What is run before and after.
        gold: A model that never saw the forget set.
        seed: Of the run.
        attacks: What the run ends with.
        goals: Bounds of metrics by address.
    """

    module: UnlearningModule
    data: UnlearningDataModule
    trainer: L.Trainer
    suites: Sequence[Suite] = ()
    gold: str | None = None
    seed: int = 0
    attacks: Sequence[Attack] = ()
    goals: Mapping[str, Any] | None = None

    @property
    def strategy(self) -> Any:
        """The trainer's."""
        return self.trainer.strategy

    @property
    def evaluate_every(self) -> list[EvaluateEvery]:
        """Callbacks that run the suites while the model trains."""
        return [c for c in self.trainer.callbacks if isinstance(c, EvaluateEvery)]  # pyright: ignore

    @property
    def compared(self) -> str | None:
        """The gold model, if suites are run on it."""
        return self.gold if self.suites else None

    @cached_property
    def values(self) -> Values:
        """The plain values, with the model's config."""
        return Values.of(
            self.module,
            config=load_config(self.module.base),
            max_length=self.data.max_length,
            vocabulary=len(self.data.tokenizer),
            streams=self.data.streams,
            sharded=is_sharded(self.trainer),
            **step_of(self.trainer),
        )


def _adapted_layers(run: Planned) -> None:
    """Refuses layers of an adapter that the model does not have, which PEFT would leave out."""
    given = getattr(run.module.lora, "layers_to_transform", None)
    layers = [given] if isinstance(given, int) else given or []
    if not layers:
        return
    last = load_config(run.module.base).get_text_config().num_hidden_layers - 1
    if beyond := [each for each in layers if not 0 <= each <= last]:
        raise RecipeError(
            f"model.lora.layers_to_transform: expected numbers of 0 to {last}, found "
            f"{', '.join(map(str, beyond))}"
        )


def _other_reference(run: Planned) -> None:
    """Refuses a reference that is not there, or has other tokens."""
    if run.module.other is not None:
        vocabulary = load_config(run.module.base).get_text_config().vocab_size
        run.module.other.check(run.data.tokenizer, vocabulary)


def _unread_gold(gold: str) -> None:
    """Refuses a gold model that no suite reads and that is not there; of the Hub none is asked."""
    owner, slash, name = gold.partition("/")
    on_hub = slash and name and "/" not in name and owner not in ("", ".", "..", "~", "tiny")
    if not on_hub or Path(owner).exists():
        _gold(gold)


def _gold(gold: str) -> None:
    """Refuses a gold model that is not there."""
    try:
        load_config(gold)
    except RecipeError as error:
        message = error.message.removeprefix("model.base: ")
        raise RecipeError(f"gold: {message}", hint=error.hint) from error


def _suites_of_one_name(run: Planned) -> None:
    names = [suite.name for suite in run.suites]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError(
            f"evaluate: there are several suites of the name {', '.join(twice)}, and the values of "
            "the last would take the place of the others",
            hint="Keep one of each; run another with `unlearnkit evaluate RUN --suite NAME`.",
        )


def _no_step(run: Planned) -> None:
    trainer = run.trainer
    for key in ("max_steps", "max_epochs", "limit_train_batches"):
        if getattr(trainer, key, None) == 0:
            raise RecipeError(
                f"trainer.{key}: 0 trains nothing",
                hint="Give at least 1; `unlearnkit evaluate MODEL` measures without training.",
            )


def _of_blocks(run: Planned) -> str | None:
    """The optimizer, if it is of a library that quantises its states."""
    cls = type(run.module.make_optimizer([nn.Parameter(torch.zeros(1))]))
    return cls.__name__ if cls.__module__.partition(".")[0] in ("bitsandbytes", "torchao") else None


def _optimizer(run: Planned) -> None:
    try:
        run.module.make_optimizer([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise RecipeError(f"model.optimizer: {error}") from error


def _gradients_of_parts(run: Planned) -> str | None:
    """A suite that takes gradients of a model that no process holds whole."""
    apart = measures_apart(run.trainer) or (run.evaluate_every and is_sharded(run.trainer))
    if not apart or run.trainer.world_size == 1:
        return None
    return next((each.name for each in run.suites if getattr(each, "gradnorm", False)), None)


DEEPSPEED = (
    "trainer.strategy: DeepSpeed is not supported: its checkpoints are pickles, whose loading can "
    "run code"
)
INSTEAD = "Set trainer.strategy: fsdp2, which shards weights, gradients and moments too."
TRAINER: tuple[Rule, ...] = (
    Rule(
        lambda run: isinstance(run.strategy, FSDPStrategy),
        "trainer.strategy: fsdp flattens weights, and the output head, which is called apart from "
        "the model, needs them as they are",
        "Set trainer.strategy: fsdp2, which shards the same weights without flattening.",
    ),
    Rule(
        lambda run: isinstance(run.strategy, DeepSpeedStrategy),
        DEEPSPEED,
        INSTEAD,
    ),
    Rule(
        lambda run: leftover_of_lightning(run.trainer),
        "{found}: a checkpoint of Lightning's own requeueing, which it would load in place of the "
        "model, whatever it was made with",
        "Remove it, or continue from it with --ckpt_path.",
    ),
    Rule(
        lambda run: getattr(run.strategy, "misfit", None),
        "trainer.strategy: {found}",
        "shard × replicate is devices × num_nodes.",
    ),
    Rule(
        lambda run: run.evaluate_every and not run.suites,
        "evaluate_every: the recipe names no suite",
        "Add evaluate: [copyright].",
    ),
    Rule(lambda run: check_addresses(run.trainer, run.suites)),
    Rule(
        lambda run: (
            run.data
            and check_monitors(run.trainer, run.module, run.module.active, run.data.streams)
        )
    ),
    Rule(
        lambda run: (run.trainer.gradient_clip_val or 0) < 0,
        "trainer.gradient_clip_val: expected 0 or more, found {v.trainer.gradient_clip_val}",
    ),
    Rule(_adapted_layers),
    Rule(lambda run: check_goal_addresses(run.goals, run.suites, run.attacks, run.compared)),
    Rule(
        lambda run: run.attacks and run.trainer.world_size > 1,
        "attack: the attacks of a recipe run on one process, and this run has several",
        "Leave them out, and attack the run afterwards: unlearnkit attack RUN relearn.",
    ),
    Rule(_no_step),
    Rule(_suites_of_one_name),
    Rule(_optimizer),
    Rule(
        lambda run: shards_checkpoints(run.trainer) and _of_blocks(run),
        "trainer.strategy: sharded checkpoints do not hold the states of {found}, which are "
        "quantised in blocks",
        "Set trainer.strategy: {{name: fsdp2, checkpoints: whole}}, or another model.optimizer.",
    ),
    Rule(
        _gradients_of_parts,
        "evaluate: gradnorm of suite {found} takes the gradients of whole weights, and "
        "trainer.strategy: fsdp2 spreads the measured model over processes",
        "Leave gradnorm out; `unlearnkit evaluate RUN` runs it afterwards, on one process.",
    ),
)
"""Rules on the trainer, its callbacks and the optimizer."""

FILES: tuple[Rule, ...] = (
    Rule(lambda run: check_whole(run.module.base)),
    Rule(lambda run: refuse(MODEL, run.values)),
    Rule(lambda run: refuse_other_tokens("model.base", run.module.base, run.data.tokenizer)),
    Rule(
        lambda run: run.compared and refuse_other_tokens("gold", run.compared, run.data.tokenizer)
    ),
    Rule(_other_reference),
    Rule(lambda run: run.compared and _gold(run.compared)),
    Rule(lambda run: run.gold and not run.compared and _unread_gold(run.gold)),
    Rule(lambda run: run.compared and check_whole(run.compared, "gold")),
)
"""Rules on models, by their configs, tokenizers and the names of their weights."""


def preflight(run: Planned) -> Batches:
    """Checks a run: trainer, arguments, model, then data and suites; no weights are read.

    Returns:
        Rows and steps of the run.

    Raises:
        DataError: With all bad rows of the streams.
        RecipeError: With all that does not go together.
    """
    refuse((*TRAINER, *FILES, *BACKENDS), run)
    tell_rounding(run.module, run.trainer, run.values.text)
    run.data.check()
    for each in run.trainer.callbacks:  # pyright: ignore
        if isinstance(each, NamedCallback):
            each.check_streams(run.data, run.module)
    context = SuiteContext.of(run.data, run.seed)
    for suite in run.suites:
        suite.check(run.data.tokenizer, context)
    if any(isinstance(each, WordedRows) for each in run.data.data.values()):
        tokenizer, measured = run.data.tokenizer, {}
        for suite in run.suites:
            measured |= suite.wordings(tokenizer, context)
        refuse_leaks(run.data.streams, run.data.data, measured, tokenizer)
    for attack in run.attacks:
        attack.prepare(Target.of(run.data))
    batches = Batches.of(run.module, run.data, run.trainer)
    tell_unreached(
        batches.warmup_steps,
        dict(run.module.objectives.items()),
        run.trainer.callbacks,  # pyright: ignore
        batches.total_steps,
    )
    return batches
