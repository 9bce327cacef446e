"""Phases: runs in a row, each of which starts from the model of the one before."""

from __future__ import annotations

import gc
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml

from unlearnkit.data.base_model import BaseModel
from unlearnkit.data.datamodule import UnlearningDataModule, together
from unlearnkit.engine.policy import load_model
from unlearnkit.module import UnlearningModule
from unlearnkit.runs import evaluation
from unlearnkit.runs.fit import FOLDER_OF_RUN, check_before_loading, fit, peak_memory_mb
from unlearnkit.runs.folder import RunSummary, new_folder, write_json, write_rows, write_text
from unlearnkit.runs.requests import curve_of, write_curve
from unlearnkit.runs.unfinished import Unfinished, next_folder, unfinished_run
from unlearnkit.suites.base import Suite, SuiteContext

Base = str | BaseModel


class Phase(ABC):
    """One step of a run: a training, or an edit of weights.

    Args:
        name: Its folder in the run folder.
        recipe: Its own recipe in full, kept in its folder; ``model.base`` is filled in.
    """

    trains: bool
    """Whether every process takes part; an edit is made by the first one alone."""

    def __init__(self, name: str, recipe: Mapping[str, Any]) -> None:
        self.name, self.recipe = name, recipe

    def text(self, base: Base) -> str:
        """The recipe, starting from a model."""
        return recipe_text(self.recipe, base)

    @abstractmethod
    def check(self) -> None:
        """Checks all that can be checked without weights.

        Raises:
            UserError: With what is wrong.
        """

    @abstractmethod
    def run(self, base: Base, folder: Path, ckpt_path: str | None = None) -> Path:
        """Makes a run folder, which ends with ``summary.json`` and ``model/`` in it.

        Args:
            base: The model to start from.
            folder: The folder to make.
            ckpt_path: A checkpoint that an interrupted run of this phase left.

        Returns:
            The folder.
        """


class Training(Phase):
    """A phase that is a recipe; it can be run once.

    Args:
        name: Its folder in the run folder.
        recipe: Its recipe in full, with every default.
        module: Objectives and model.
        data: Streams.
        trainer: Lightning's trainer.
        evaluate: Suites to run before and after.
        gold: A model that never saw the forget set.
        seed: Seed of the phase.
    """

    trains = True

    def __init__(
        self,
        name: str,
        recipe: Mapping[str, Any],
        module: UnlearningModule,
        data: UnlearningDataModule,
        trainer: L.Trainer,
        evaluate: Sequence[Suite] = (),
        gold: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(name, recipe)
        self.module, self.data, self.trainer = module, data, trainer
        self.evaluate, self.gold, self.seed = evaluate, gold, seed

    def check(self) -> None:
        """Checks data, suites and the model's config."""
        context = SuiteContext(max_length=self.data.max_length, seed=self.seed)
        check_before_loading(self.module, self.data, self.evaluate, context)

    def run(self, base: Base, folder: Path, ckpt_path: str | None = None) -> Path:
        """Trains; the objectives' reference is the model that the phase starts from."""
        self.module.base = base
        fit(
            self.module,
            self.data,
            self.trainer,
            recipe_name=self.name,
            recipe_text=self.text(base),
            evaluate=self.evaluate,
            gold=self.gold,
            seed=self.seed,
            ckpt_path=ckpt_path,
            folder=folder,
        )
        # The next phase loads a model of its own.
        del self.module, self.trainer
        gc.collect()
        return folder


@dataclass
class _Overall:
    """What the run as a whole is evaluated by: the suites and streams of its last training."""

    data: UnlearningDataModule
    suites: Sequence[Suite]
    gold: str | None
    seed: int
    device: torch.device

    def __call__(self, original: Base, last: Base) -> dict[str, evaluation.Results]:
        """Results of the model before the first phase, after the last, and of the gold model."""
        tokenizer = self.data.tokenizer
        context = SuiteContext(data=self.data.data, max_length=self.data.max_length, seed=self.seed)
        if self.gold:
            context = replace(context, gold=self._load(self.gold))
        reference = self._load(original)
        run = evaluation.run_suites
        results = {"before": run(reference, tokenizer, self.suites, context)}
        compared = replace(context, reference=reference)
        results["after"] = run(self._load(last), tokenizer, self.suites, compared)
        if context.gold is not None:
            results["gold"] = run(context.gold, tokenizer, self.suites, context)
        return results

    def _load(self, base: Base) -> Any:
        model: Any = load_model(base)
        return model.to(self.device)


def fit_phases(
    phases: Sequence[Phase],
    *,
    base: Base,
    recipe_name: str = "run",
    recipe_text: str = "",
    run_dir: str | Path = "runs",
    ckpt_path: str | None = None,
    on_phase: Callable[[str, str], None] = lambda name, what: None,
) -> RunSummary:
    """Runs phases one after the other and writes a run folder with one inside it for each.

    All phases are checked before the first model is loaded. A phase that fails or is interrupted
    leaves those before it as they are, and the run is gone on with by ``ckpt_path``.

    Args:
        phases: The phases, at least one of which trains.
        base: The model that the first starts from.
        recipe_name: First part of the run folder's name.
        recipe_text: The resolved recipe, kept in the folder.
        run_dir: Where run folders go.
        ckpt_path: ``last`` for the newest unfinished run of this recipe, or a checkpoint in its
            folder. The run goes on in the same folder; finished phases are not run again.
        on_phase: Called with a phase's name, and what happens to it.

    Returns:
        What was found: before is the model before the first phase, after that after the last.

    Raises:
        UserError: For whatever a phase refuses, or if there is no run to go on with.
    """
    started = time.monotonic()
    check_phases(phases)
    trainings = [phase for phase in phases if isinstance(phase, Training)]
    last = trainings[-1]
    overall = _Overall(
        last.data, last.evaluate, last.gold, last.seed, last.trainer.strategy.root_device
    )
    known = os.environ.get(FOLDER_OF_RUN)
    main = trainings[0].trainer.is_global_zero and known is None
    before = Unfinished()
    if ckpt_path is not None:
        before = unfinished_run(Path(run_dir) / recipe_name, ckpt_path)
    if before.folder is not None:
        folder = before.folder
    elif main:
        folder = new_folder(run_dir, recipe_name)
    else:
        folder = Path(known).parent if known else Path(run_dir) / recipe_name
    if main:
        # Of a run that goes on too: phases that are not finished may have been changed.
        write_text(folder / "recipe.yaml", recipe_text)
    model: Base = base
    done: list[tuple[str, bool, Path]] = []
    for phase in phases:
        text = phase.text(model)
        inside = before.finished(phase.name, text)
        if inside is None:
            checkpoint = before.checkpoint(phase.name, text)
            if main:
                on_phase(phase.name, f"goes on from {checkpoint}" if checkpoint else "begins")
            inside = _agreed(next_folder(folder, phase.name), known)
            if phase.trains or main:
                inside = phase.run(model, inside, checkpoint)
            # The others wait here until the first process has written the model.
            inside = _agreed(inside, known)
        elif main:
            on_phase(phase.name, "was finished before")
        done.append((phase.name, phase.trains, inside))
        model = started_from(model, inside)
    trained = [(name, inside) for name, trains, inside in done if trains]
    summary = RunSummary(recipe_name, last.seed, 0, None, folder)
    if not main:
        return summary
    found = [json.loads((each / "summary.json").read_text(encoding="utf-8")) for *_, each in done]
    results = overall(base, model) if overall.suites else {}
    write_rows(folder / "rows.jsonl", evaluation.rows(results))
    summary.steps = sum(each["steps"] for each in found)
    stopped = {n: s["stopped_by"] for (n, *_), s in zip(done, found, strict=True)}
    summary.stopped_by = "; ".join(f"{n}: {why}" for n, why in stopped.items() if why) or None
    summary.suites = evaluation.figures(results)
    summary.samples = evaluation.samples(results.get("before", {}), results.get("after", {}))
    summary.phases = [
        {
            "name": name,
            "folder": inside.name,
            "trained": trains,
            **{key: each[key] for key in ("steps", "seconds", "stopped_by")},
        }
        for (name, trains, inside), each in zip(done, found, strict=True)
    ]
    summary.requests = curve_of(trained)
    write_curve(folder, summary.requests)
    summary.seconds = round(time.monotonic() - started, 2)
    summary.peak_memory_mb = peak_memory_mb()
    write_json(folder / "summary.json", summary.as_json())
    return summary


def check_phases(phases: Sequence[Phase]) -> None:
    """Checks all phases; no weights are read.

    Raises:
        DataError: With all bad rows of all phases.
        UserError: For whatever else the first phase with a mistake refuses.
    """
    together(phase.check for phase in phases)


def started_from(base: Base, folder: Path) -> BaseModel:
    """The model of a run folder, to be loaded as the one that it started from was."""
    given = BaseModel(base) if isinstance(base, str) else base
    return BaseModel(
        str((folder / "model").absolute()),
        dtype=given.dtype,
        trust_remote_code=given.trust_remote_code,
        attn_implementation=given.attn_implementation,
    )


def _agreed(folder: Path, known: str | None) -> Path:
    """The folder that the first process has chosen, on all of them.

    Before they are connected it is the one that this process was started with, if any.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return Path(known) if known else folder
    held = [str(folder)]
    torch.distributed.broadcast_object_list(held, src=0)
    return Path(held[0])


def recipe_text(recipe: Mapping[str, Any], base: Base) -> str:
    """A recipe as YAML, starting from a model."""
    tree = {**recipe, "model": with_base(recipe.get("model", {}), base)}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def with_base(section: Mapping[str, Any], base: Base) -> dict[str, Any]:
    """A section of a recipe with the key ``base``."""
    if isinstance(base, str):
        return {**section, "base": base}
    given = {key: value for key, value in asdict(base).items() if value is not None}
    return {**section, "base": given}
