"""Makes a method's model with given settings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from benchmarks.fair.methods import Method
from benchmarks.fair.rows import write_wordings
from unlearnkit.callbacks.collapse_stop import TrainingDiverged
from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.overrides import Override
from unlearnkit.edits import Lunar, Negate, Uld, Whp
from unlearnkit.edits.base import Edit
from unlearnkit.engine.generation.sampling import draw_for
from unlearnkit.families import path_of
from unlearnkit.runs import fit
from unlearnkit.runs.preflight import Planned, preflight

BASE, GOLD = "tiny/tofu_power", "tiny/tofu_power/gold"


def make(
    method: Method, settings: Mapping[str, Any], seed: int, folder: Path
) -> tuple[str | None, float]:
    """Trains, and edits where the method is an edit.

    Args:
        method: The method.
        settings: Over those that are shipped; ``edit.NAME`` are the edit's.
        seed: Of the training.
        folder: Where the model is written; it must not exist.

    Returns:
        The model, None if training diverged, and the processor time in seconds.
    """
    began = time.process_time()
    options = {**method.options, **settings}
    made = folder / "run"
    if method.recipe:
        try:
            fit_recipe(method, options, seed, made)
        except TrainingDiverged:
            return None, time.process_time() - began
    if method.edit:
        own = {key.removeprefix("edit."): value for key, value in options.items()
               if key.startswith("edit.")}  # fmt: skip
        made = _edit(method.edit, folder, own).write(folder / "edited")
    return str(made), time.process_time() - began


def trained(method: Method, settings: Mapping[str, Any], seed: int) -> tuple[Any, float]:
    """The same model in memory alone, for trials of methods that are no edits.

    Returns:
        The model, None if training diverged, and the processor time in seconds.
    """
    began = time.process_time()
    cli = recipe_of(method, settings, seed)
    module, data, trainer = cli.model, cli.datamodule, cli.trainer
    preflight(Planned(module, data, trainer, [], None, seed))
    L.seed_everything(seed, workers=True, verbose=False)
    module.configure_model()
    draw_for(module, trainer, data)
    trainer.loggers = []
    callbacks: list[Any] = trainer.callbacks  # pyright: ignore
    trainer.callbacks = [each for each in callbacks if not isinstance(each, Checkpoint)]  # pyright: ignore
    L.seed_everything(seed, workers=True, verbose=False)
    try:
        trainer.fit(module, datamodule=data)
    except TrainingDiverged:
        return None, time.process_time() - began
    return module.policy, time.process_time() - began


def recipe_of(method: Method, settings: Mapping[str, Any], seed: int) -> RecipeCLI:
    """The method's recipe with settings; those of its edit are left out."""
    chosen = [
        Override(path_of(key), value)
        for key, value in settings.items()
        if not key.startswith("edit.")
    ]
    return RecipeCLI(method.document(), [*chosen, Override(("seed_everything",), seed)])


def fit_recipe(method: Method, settings: Mapping[str, Any], seed: int, folder: Path) -> None:
    """Trains into a run folder; nothing is evaluated."""
    cli = recipe_of(method, settings, seed)
    fit(
        cli.model,
        cli.datamodule,
        cli.trainer,
        recipe_name=folder.parent.name,
        recipe_text=cli.recipe_text,
        seed=seed,
        folder=folder,
    )


def _edit(kind: str, folder: Path, options: Mapping[str, Any]) -> Edit:
    trained = str(folder / "run")
    if kind == "negate":
        return Negate(BASE, [trained], **options)
    if kind == "uld":
        return Uld(BASE, trained, **options)
    if kind == "whp":
        return Whp(BASE, trained, **options)
    write_wordings(folder / "rows")
    rows = [str(folder / "rows" / f"{name}.jsonl") for name in ("forget", "retain", "unknown")]
    # Of questions alone the change leaves these models as they are.
    return Lunar(
        BASE, *rows, responses=True, prompt_field="question", response_field="answer",
        template="Question: {prompt}\nAnswer: {response}", **options,
    )  # fmt: skip
