"""Runs a recipe: prepare, measure, train, measure, write."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.loggers import Logger

from unlearnkit.attacks import Attack
from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.generated import HF, generated_by
from unlearnkit.engine.generation.dealing import Ranks, dealt
from unlearnkit.engine.generation.sampling import draw_for
from unlearnkit.engine.nodes import on_every_node
from unlearnkit.engine.ranks import checked_by_all
from unlearnkit.engine.training.fsdp2 import is_sharded
from unlearnkit.engine.training.loggers import send_metrics
from unlearnkit.errors import optional
from unlearnkit.families import named
from unlearnkit.files import remove_left_behind, write_json, write_text
from unlearnkit.models.base import BaseModel
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.card import card_of_merged, write_card
from unlearnkit.runs.conclude import attack_run, conclude
from unlearnkit.runs.export import is_merged, policy_to_save, save_model
from unlearnkit.runs.facts import describe, peak_memory_mb
from unlearnkit.runs.failures import (
    evaluated_later,
    left_to_first,
    refuse_little_room,
    told_if_alone,
    told_with_checkpoint,
)
from unlearnkit.runs.folder import RunSummary, make_folder, new_folder
from unlearnkit.runs.measure import Stages, progress_of
from unlearnkit.runs.phases.yaml_text import with_checksums, without_secrets
from unlearnkit.runs.preflight import Planned, preflight
from unlearnkit.runs.processes.watch import watched
from unlearnkit.runs.ranks import Models, SaveWhole, Together, take_part
from unlearnkit.runs.report import report_after_fit, send_report
from unlearnkit.runs.resume.changes import Resolve
from unlearnkit.runs.resume.check import SameCheckpoint, checkpoint_of, resumed
from unlearnkit.runs.resume.ranks import share_digests
from unlearnkit.runs.resume.record import KeepMadeWith, MadeWith
from unlearnkit.runs.samples import write_samples
from unlearnkit.runs.start import Batches, Start
from unlearnkit.runs.trainer import (
    FOLDER_OF_RUN,
    known_to_other_ranks,
    log_short_runs_too,
    point_at,
    stopped_by,
)
from unlearnkit.suites.base import Suite


@told_if_alone()
def fit(
    module: UnlearningModule,
    data: UnlearningDataModule,
    trainer: L.Trainer,
    *,
    recipe_name: str = "run",
    recipe_text: str = "",
    evaluate: Sequence[Suite] = (),
    gold: str | None = None,
    run_dir: str | Path = "runs",
    seed: int = 0,
    ckpt_path: str | None = None,
    resume_with_changes: bool = False,
    resolve: Resolve = named,
    folder: Path | None = None,
    on_start: Callable[[Start], None] = lambda start: None,
    attack: Sequence[Attack] = (),
    goals: Mapping[str, Any] | None = None,
) -> RunSummary:
    """Runs a recipe and writes its run folder.

    Checks what needs no weights first. `unlearnkit.data.generated.generated_by` sets a backend.

    Args:
        module: Objectives and model.
        data: Streams.
        trainer: Lightning's trainer; its logger and checkpoints are pointed at the run folder.
        recipe_name: First part of the run folder's name.
        recipe_text: The resolved recipe, kept in the folder with secrets masked.
        evaluate: Suites to run before and after.
        gold: A model that never saw the forget set, evaluated beside.
        run_dir: Where run folders go.
        seed: Seed of the run.
        ckpt_path: Lightning checkpoint to resume from; ``last`` is the newest of this recipe. The
            run continues in a new run folder.
        resume_with_changes: Resume although recipe, data or model differ from what the checkpoint
            was made with; ``environment.json`` holds each old and new value.
        resolve: Gives a recipe of an earlier version as this one writes it, to be compared.
        folder: The run folder, in place of a new one below ``run_dir``; it must not exist.
        on_start: Called once, on the first process, when the model is built.
        attack: Attacks that the run ends with.
        goals: Bounds of metrics by address, each with ``at_most`` or ``at_least``.

    Returns:
        What was found.

    Raises:
        DataError: With all bad rows.
        Interrupted: By Ctrl-C or SIGTERM; says where the checkpoint is.
        RecipeError: If model, adapter and data do not go together, or the checkpoint was made with
            others.
        TrainingDiverged: If the loss stopped being finite; says where the last checkpoint is.
        UserError: If the run folder cannot be written, or the disk has no room for the model.
    """
    started = time.monotonic()
    planned = Planned(module, data, trainer, evaluate, gold, seed, attack, goals)
    share_digests(trainer, (module.base, gold))
    batches = checked_by_all(lambda: preflight(planned))
    main = trainer.is_global_zero and FOLDER_OF_RUN not in os.environ
    ckpt_path = checkpoint_of(ckpt_path, Path(run_dir) / recipe_name)
    made_with = None
    if main or ckpt_path:
        made_with = MadeWith.of(planned, with_checksums(recipe_text), batches.total_steps)
    if ckpt_path and made_with:
        made_with = resumed(ckpt_path, made_with, resolve, resume_with_changes, trainer)
        trainer.callbacks.append(SameCheckpoint(ckpt_path))  # pyright: ignore
    if made_with:
        trainer.callbacks.append(KeepMadeWith(made_with))  # pyright: ignore
    # Only the first process writes to it; under torchrun the others are never told its name.
    known = os.environ.get(FOLDER_OF_RUN, Path(run_dir) / recipe_name)
    if folder is None:
        if main:
            remove_left_behind(Path(run_dir) / recipe_name)
        folder = new_folder(run_dir, recipe_name) if main else Path(known)
    elif main:
        make_folder(folder)
    run = _Run(module, data, trainer, batches, folder, seed, ckpt_path, made_with)
    load = Models(module, trainer).from_disk
    stages = Stages(evaluate, data, seed, gold, load, progress_of(trainer, evaluate))
    run.prepare()

    def before(ranks: Ranks | None) -> None:
        if main:
            run.begin(recipe_text, on_start)
        run.measure_before(stages, ranks)
        if main:
            send_metrics(run.loggers, "before", stages.of("before"), 0)

    together = Together(before)
    if take_part(trainer):
        trainer.callbacks.append(together)  # pyright: ignore
    elif main:
        before(None)
    run.train(stages)
    summary = RunSummary(recipe_name, seed, trainer.global_step, stopped_by(trainer), folder)
    if main:
        run.save()
        # From here on the run is a finished one, whatever becomes of its evaluation.
        run.write(summary, stages, started)
        with evaluated_later(folder):
            run.measure_after(stages, together)
            run.write(summary, stages, started)
    elif together.ranks:
        with left_to_first(lambda: run.folder):
            run.measure_after(stages, together)
    if main:
        with generated_by(HF):  # as `unlearnkit attack` does
            attack_run(folder, attack, data, gold)
        run.tell(summary, stages, goals)
        for stage in ("after", "gold"):
            send_metrics(run.loggers, stage, stages.of(stage), summary.steps)
        send_report(run.loggers, folder)
    return summary


@dataclass
class _Run:
    """A run of `fit` on one process, stage by stage."""

    module: UnlearningModule
    data: UnlearningDataModule
    trainer: L.Trainer
    batches: Batches
    folder: Path
    seed: int
    ckpt_path: str | None
    made_with: MadeWith | None
    """On the first process, and where it goes on."""
    environment: dict[str, Any] = field(default_factory=dict)
    loggers: list[Logger] = field(default_factory=list)
    """The user's."""

    def prepare(self) -> None:
        """Points the trainer at the folder and builds the model."""
        trainer = self.trainer
        self.loggers = point_at(trainer, self.folder)
        L.seed_everything(self.seed, workers=True, verbose=False)
        if trainer.strategy.root_device.type == "cuda":
            # Quantised weights are loaded to the current device; Lightning sets it only in the fit.
            torch.cuda.set_device(trainer.strategy.root_device)
        if is_sharded(trainer):
            save = SaveWhole(self.folder / "model", self.data.tokenizer)
            trainer.callbacks.append(save)  # pyright: ignore
        else:
            self.module.configure_model()

    def begin(self, recipe_text: str, on_start: Callable[[Start], None]) -> None:
        """Writes what is known before the training; on the first process."""
        write_text(self.folder / "recipe.yaml", without_secrets(recipe_text))
        draw_for(self.module, self.trainer, self.data)
        write_samples(self.folder / "samples", self.data.data)
        steps = self.batches.total_steps or self.batches.steps_per_epoch
        log_short_runs_too(self.trainer, steps)

        def tell(*_: object) -> None:
            made = self.made_with
            refuse_little_room(self.folder, self.module.policy)
            start = Start.of(
                self.module, self.data, self.batches, self.trainer, self.folder, self.ckpt_path
            )
            self.environment = describe(
                self.module.base,
                self.data.data,
                self.data.tokenizer,
                start.as_json() | (made.history() if made else {}),
                known=made.data if made else {},
            )
            write_json(self.folder / "environment.json", self.environment)
            on_start(start)

        if is_sharded(self.trainer):
            self.trainer.callbacks.append(LambdaCallback(on_fit_start=tell))  # pyright: ignore
        else:
            tell()

    def measure_before(self, stages: Stages, ranks: Ranks | None) -> None:
        """Measures the model at the start, on all processes that take part."""
        with dealt(ranks):
            stages.before(partial(Models(self.module, self.trainer).policy, self.module.base))
        # Suites may draw random numbers; training starts from the seed anyway.
        L.seed_everything(self.seed, workers=True, verbose=False)

    def measure_after(self, stages: Stages, together: Together) -> None:
        """Measures the model at the end, from the first process's folder."""
        if stages.suites:
            self.folder = together.folder(self.folder)
            if is_sharded(self.trainer):
                on_every_node(self.folder / "model")
            saved = BaseModel(str(self.folder / "model"), dtype="auto")
            models = Models(self.module, self.trainer)
            with dealt(together.ranks):
                stages.after(partial(models.policy, saved), models.start)

    def train(self, stages: Stages) -> None:
        """Trains, on every process."""
        for callback in self.trainer.callbacks:  # pyright: ignore
            if isinstance(callback, EvaluateEvery):
                callback.use(stages.suites, stages.context)
        L.seed_everything(self.seed, workers=True, verbose=False)
        with (
            known_to_other_ranks(self.folder, self.ckpt_path),
            told_with_checkpoint(self.folder),
            watched(self.trainer, self.folder),
        ):
            self.trainer.fit(
                self.module, datamodule=self.data, ckpt_path=self.ckpt_path, weights_only=True
            )

    def save(self) -> None:
        """Writes the model's folder; of a sharded model the callback has."""
        if not is_sharded(self.trainer):
            with told_with_checkpoint(self.folder):
                save_model(policy_to_save(self.module), self.data.tokenizer, self.folder / "model")

    def write(self, summary: RunSummary, stages: Stages, started: float) -> None:
        """Writes the results, and sets the summary's."""
        stages.record(self.folder, summary)
        streams = self.data.data.items()
        summary.cut = {name: cut._asdict() for name, each in streams if (cut := each.cuts())}
        summary.seconds = round(time.monotonic() - started, 2)
        summary.peak_memory_mb = peak_memory_mb()
        write_json(self.folder / "summary.json", summary.as_json())

    def tell(self, summary: RunSummary, stages: Stages, goals: Mapping[str, Any] | None) -> None:
        """Judges the run, and writes its card and report."""
        with optional("verdict and goals"):
            conclude(self.folder, stages, summary, goals)
        model = self.folder / "model"
        with optional("the model's card"):
            write_card(model, self.module, self.trainer, summary, self.environment)
            if is_merged(self.module):
                card_of_merged(model, model)
        summary.report = report_after_fit(self.folder, stages)
