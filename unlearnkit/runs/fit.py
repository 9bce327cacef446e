"""Evaluate, unlearn, evaluate again, and write it all down."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import LambdaCallback
from torch import nn

from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.engine.generation.sampling import draw_for
from unlearnkit.engine.preflight import check_trainable
from unlearnkit.engine.reference.kinds import Frozen
from unlearnkit.engine.training.freezing import check_trainable_names
from unlearnkit.engine.training.fsdp2 import check_lengths, is_sharded
from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import check_streams
from unlearnkit.models.base import BaseModel, refuse_other_tokens
from unlearnkit.models.check import check_whole
from unlearnkit.models.load import check_config, load_config
from unlearnkit.module import UnlearningModule
from unlearnkit.runs import measure as evaluation
from unlearnkit.runs.card import write_card
from unlearnkit.runs.checkpoints import newest_checkpoint
from unlearnkit.runs.export import save_model
from unlearnkit.runs.facts import describe
from unlearnkit.runs.failures import refuse_little_room, told_with_checkpoint
from unlearnkit.runs.folder import (
    RunSummary,
    make_folder,
    new_folder,
    write_json,
    write_rows,
    write_text,
)
from unlearnkit.runs.preflight import refuse_strategies
from unlearnkit.runs.report import report_after_fit
from unlearnkit.runs.samples import write_samples
from unlearnkit.runs.sharded import SaveWhole, plain_copy
from unlearnkit.runs.start import Batches, Start
from unlearnkit.runs.token_logps import TokenLogps
from unlearnkit.runs.trainer import log_short_runs_too, point_at, stopped_by
from unlearnkit.suites.base import Suite, SuiteContext

FOLDER_OF_RUN = "UNLEARNKIT_RUN_FOLDER"
"""Tells the processes that Lightning starts for the other ranks where the run writes."""


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
    folder: Path | None = None,
    on_start: Callable[[Start], None] = lambda start: None,
) -> RunSummary:
    """Runs a recipe and writes its run folder.

    Everything that can be checked without weights is checked first.

    Args:
        module: Objectives and model.
        data: Streams.
        trainer: Lightning's trainer; its logger and checkpoints are pointed at the run folder.
        recipe_name: First part of the run folder's name.
        recipe_text: The resolved recipe, kept in the folder.
        evaluate: Suites to run before and after.
        gold: A model that never saw the forget set, evaluated beside.
        run_dir: Where run folders go.
        seed: Seed of the run.
        ckpt_path: Lightning checkpoint to resume from; ``last`` is the newest of this recipe. The
            run goes on in a new run folder.
        folder: The run folder, in place of a new one below ``run_dir``; it must not exist.
        on_start: Called once, on the first process, when the model is built.

    Returns:
        What was found.

    Raises:
        DataError: With all bad rows.
        Interrupted: By Ctrl-C or SIGTERM; says where the checkpoint is.
        RecipeError: If model, adapter and data do not go together.
        TrainingDiverged: If the loss stopped being finite; says where the last checkpoint is.
        UserError: If the run folder cannot be written, or the disk has no room for the model.
    """
    started = time.monotonic()
    refuse_strategies(module, trainer)
    context = SuiteContext.of(data, seed)
    context = check_before_loading(module, data, evaluate, context, gold)
    if is_sharded(trainer):
        check_lengths(load_config(module.base), data.max_length)
    batches = Batches.of(module, data, trainer)
    if ckpt_path == "last":
        ckpt_path = str(newest_checkpoint(Path(run_dir) / recipe_name))
    if ckpt_path and "://" not in ckpt_path and not Path(ckpt_path).exists():
        raise RecipeError(f"--ckpt_path: there is no file {ckpt_path}")
    main = trainer.is_global_zero and FOLDER_OF_RUN not in os.environ
    # Only the first process writes to it; under torchrun the others are never told its name.
    known = os.environ.get(FOLDER_OF_RUN, Path(run_dir) / recipe_name)
    if folder is None:
        folder = new_folder(run_dir, recipe_name) if main else Path(known)
    elif main:
        make_folder(folder)
    point_at(trainer, folder)
    L.seed_everything(seed, workers=True, verbose=False)
    sharded = is_sharded(trainer)
    if trainer.strategy.root_device.type == "cuda":
        # Quantised weights are loaded to the current device; Lightning sets it only in the fit.
        torch.cuda.set_device(trainer.strategy.root_device)
    if sharded:
        trainer.callbacks.append(SaveWhole(folder / "model", data.tokenizer))  # pyright: ignore
    else:
        module.configure_model()
    before: evaluation.Results = {}
    token_logps = TokenLogps(data.data, data.tokenizer)
    environment: dict[str, Any] = {}

    def tell(*_: object) -> None:
        refuse_little_room(folder, module.policy)
        start = Start.of(module, data, batches, trainer, folder, ckpt_path)
        environment.update(describe(module.base, data.data, data.tokenizer, start.as_json()))
        write_json(folder / "environment.json", environment)
        on_start(start)

    if main:
        write_text(folder / "recipe.yaml", recipe_text)
        draw_for(module, trainer, data)
        write_samples(folder / "samples", data.data)
        log_short_runs_too(trainer, batches.total_steps or batches.steps_per_epoch)
        if sharded:
            trainer.callbacks.append(LambdaCallback(on_fit_start=tell))  # pyright: ignore
        else:
            tell()
        if evaluate:
            model = _plain(module, trainer, module.base)
            needs_gold = any(suite.uses_gold for suite in evaluate)
            beside = plain_copy(gold, trainer) if gold and needs_gold else None
            compared = replace(context, gold=beside)
            before = evaluation.run_suites(model, data.tokenizer, evaluate, compared)
            token_logps.measure("before", model)
            # Neither is to take room while the training runs.
            del model, beside, compared
    for callback in trainer.callbacks:  # pyright: ignore
        if isinstance(callback, EvaluateEvery):
            callback.use(evaluate, context)
    # Evaluation may draw random numbers; training starts from the seed all the same.
    L.seed_everything(seed, workers=True, verbose=False)
    with _known_to_other_ranks(folder), told_with_checkpoint(folder):
        trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    summary = RunSummary(recipe_name, seed, trainer.global_step, stopped_by(trainer), folder)
    if not main:
        return summary
    if not sharded:
        with told_with_checkpoint(folder):
            save_model(module.policy, data.tokenizer, folder / "model")
    results = {"before": before}
    if evaluate:
        gold_model = plain_copy(gold, trainer) if gold else None
        context = replace(context, gold=gold_model)
        model = _plain(module, trainer, BaseModel(str(folder / "model"), dtype="auto"))
        compared = replace(context, reference=_reference_model(module, trainer))
        results["after"] = evaluation.run_suites(model, data.tokenizer, evaluate, compared)
        token_logps.measure("after", model)
        if gold_model is not None:
            token_logps.measure("gold", gold_model)
            results["gold"] = evaluation.run_suites(gold_model, data.tokenizer, evaluate, context)
    write_rows(folder / "rows.jsonl", evaluation.rows(results))
    summary.suites = evaluation.figures(results)
    summary.cut = {name: cut._asdict() for name, each in data.data.items() if (cut := each.cuts())}
    summary.notes = evaluation.notes(results)
    summary.samples = evaluation.samples(before, results.get("after", {}))
    summary.seconds = round(time.monotonic() - started, 2)
    summary.peak_memory_mb = peak_memory_mb()
    # The summary makes the run a finished one, whatever becomes of its card and report.
    write_json(folder / "summary.json", summary.as_json())
    write_card(folder / "model", module, trainer, summary, environment)
    summary.report = report_after_fit(folder, results, evaluate, token_logps, seed)
    return summary


def check_before_loading(
    module: UnlearningModule,
    data: UnlearningDataModule,
    evaluate: Sequence[Suite],
    context: SuiteContext,
    gold: str | None = None,
) -> SuiteContext:
    """Checks data, suites and the model's config; no weights are read.

    Returns:
        The context with the streams in it.

    Raises:
        DataError: With all bad rows.
        RecipeError: If model, adapter and data do not go together.
    """
    try:
        module.make_optimizer([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise RecipeError(f"model.optimizer: {error}") from error
    config = load_config(module.base)
    check_whole(module.base)
    check_trainable(config, module.needs, module.reference_kind, module.lora)
    if module.saliency is not None:
        module.saliency.check()
    check_trainable_names(config, module.trainable, module.lora)
    refuse_other_tokens("model.base", module.base, data.tokenizer)
    if gold is not None and evaluate:
        refuse_other_tokens("gold", gold, data.tokenizer)
        check_whole(gold, "gold")
    check_streams(module.lora, data.streams)
    check_config(config, module.lora, data.max_length, len(data.tokenizer), module.layers)
    data.check()
    context = replace(context, data=data.data)
    for suite in evaluate:
        suite.check(data.tokenizer, context)
    return context


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


@contextmanager
def _known_to_other_ranks(folder: Path) -> Iterator[None]:
    before = os.environ.get(FOLDER_OF_RUN)
    os.environ[FOLDER_OF_RUN] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[FOLDER_OF_RUN]


def _plain(module: UnlearningModule, trainer: L.Trainer, saved: str | BaseModel) -> nn.Module:
    """The policy where this process holds it whole, else a copy of it from disk."""
    if is_sharded(trainer):
        return plain_copy(saved, trainer)
    module.to(trainer.strategy.root_device)
    return module.policy


def _reference_model(module: UnlearningModule, trainer: L.Trainer) -> nn.Module:
    if isinstance(module.reference, Frozen) and not is_sharded(trainer):
        return module.reference.model
    return plain_copy(module.base, trainer)
