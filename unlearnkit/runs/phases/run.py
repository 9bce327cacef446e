"""Runs phases, each from the model of the one before."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from unlearnkit.attacks import Attack
from unlearnkit.attacks.addresses import check_goal_addresses
from unlearnkit.data.datamodule import together
from unlearnkit.data.generated import HF, generated_by
from unlearnkit.engine.nodes import on_every_node
from unlearnkit.engine.ranks import checked_by_all, found_by_first
from unlearnkit.errors import RecipeError
from unlearnkit.families import named
from unlearnkit.files import remove_left_behind, write_json, write_text
from unlearnkit.registry import did_you_mean
from unlearnkit.runs.conclude import attack_run, conclude
from unlearnkit.runs.facts import peak_memory_mb
from unlearnkit.runs.failures import told_if_alone
from unlearnkit.runs.folder import RunSummary, new_folder, owned_folders
from unlearnkit.runs.measure import Stages, progress_of
from unlearnkit.runs.phases.phase import Base, Phase, Training, started_from
from unlearnkit.runs.phases.requests import curve_of, write_curve
from unlearnkit.runs.phases.resume import (
    Resolve,
    Unfinished,
    next_folder,
    refuse_finished,
    unfinished_run,
)
from unlearnkit.runs.phases.yaml_text import without_secrets
from unlearnkit.runs.ranks import plain_copy
from unlearnkit.runs.report import report_after_fit
from unlearnkit.runs.resume.ranks import share_digests
from unlearnkit.runs.trainer import FOLDER_OF_RUN


@told_if_alone()
def fit_phases(
    phases: Sequence[Phase],
    *,
    base: Base,
    recipe_name: str = "run",
    recipe_text: str = "",
    run_dir: str | Path = "runs",
    ckpt_path: str | None = None,
    resolve: Resolve = named,
    on_phase: Callable[[str, str], None] = lambda name, what: None,
    attack: Sequence[Attack] = (),
    goals: Mapping[str, Any] | None = None,
) -> RunSummary:
    """Runs phases one after the other and writes a run folder with one inside it for each.

    All phases are checked before the first model is loaded. A phase that fails or is interrupted
    leaves those before it as they are, and ``ckpt_path`` continues the run.

    Args:
        phases: The phases, at least one of which trains.
        base: The model that the first starts from.
        recipe_name: First part of the run folder's name.
        recipe_text: The resolved recipe, kept in the folder with secrets masked.
        run_dir: Where run folders go.
        ckpt_path: ``last`` for the newest unfinished run of this recipe, or a checkpoint in its
            folder. The run continues in the same folder; finished phases are not run again.
        resolve: Gives a recipe of an earlier version as this one writes it, so that a run which
            that version began is continued.
        on_phase: Called with a phase's name, and what happens to it.
        attack: Attacks that the run ends with, on the model of the last phase.
        goals: Bounds of metrics of the whole run by address.

    Returns:
        What was found: before is the model before the first phase, after that after the last.

    Raises:
        UserError: For whatever a phase refuses, if there is no run to continue, or if another
            process continues it.
    """
    with owned_folders() as take:
        return _fit_phases(
            phases, base, recipe_name, recipe_text, Path(run_dir), ckpt_path, resolve, on_phase,
            attack, goals, take,
        )  # fmt: skip


def _fit_phases(
    phases: Sequence[Phase],
    base: Base,
    recipe_name: str,
    recipe_text: str,
    run_dir: Path,
    ckpt_path: str | None,
    resolve: Resolve,
    on_phase: Callable[[str, str], None],
    attack: Sequence[Attack],
    goals: Mapping[str, Any] | None,
    take: Callable[[Path], None],
) -> RunSummary:
    started = time.monotonic()
    trainings = [phase for phase in phases if isinstance(phase, Training)]
    last = trainings[-1]
    share_digests(trainings[0].trainer, (base, *(each.gold for each in trainings)))
    checked_by_all(lambda: check_phases(phases))
    check_goal_addresses(goals, last.evaluate, attack, last.gold)
    # The run as a whole is measured by the suites and streams of its last training.
    data, suites, gold = last.data, last.evaluate, last.gold
    # Of the trainer its device alone: it would keep the last phase's model in memory.
    load = partial(plain_copy, device=last.trainer.strategy.root_device)
    progress = progress_of(last.trainer, suites)
    known = os.environ.get(FOLDER_OF_RUN)
    main = trainings[0].trainer.is_global_zero and known is None
    before = Unfinished()
    if ckpt_path is not None:
        runs, given = Path(run_dir) / recipe_name, ckpt_path
        before = found_by_first(lambda: unfinished_run(runs, given, resolve))
    if before.folder is not None:
        folder = before.folder
    elif main:
        folder = new_folder(run_dir, recipe_name)
    else:
        folder = Path(known).parent if known else Path(run_dir) / recipe_name
    found_by_first(partial(_taken, folder, take) if main else lambda: None)
    if main:
        # A continued run too: phases that are not finished may have been changed.
        write_text(folder / "recipe.yaml", without_secrets(recipe_text))
    model: Base = base
    done: list[tuple[str, bool, Path]] = []
    models: dict[str, Base] = {}
    with told_if_alone(folder):
        for phase in phases:
            if isinstance(phase, Training):
                phase.takes(models)
            text = phase.text(model)
            made_with = partial(phase.made_with, model)
            inside = found_by_first(partial(before.finished, phase.name, text, made_with))
            if inside is None:
                checkpoint = found_by_first(partial(before.checkpoint, phase.name, text))
                if main:
                    on_phase(phase.name, f"continues from {checkpoint}" if checkpoint else "begins")
                inside = _agreed(next_folder(folder, phase.name), known)
                if phase.trains or main:
                    inside = phase.run(model, inside, checkpoint)
                # The others wait here until the first process has written the model.
                inside = _agreed(inside, known)
            elif main:
                on_phase(phase.name, "was finished before")
            on_every_node(inside / "model")
            done.append((phase.name, phase.trains, inside))
            model = models[phase.name] = started_from(model, inside)
    trained = [(name, inside) for name, trains, inside in done if trains]
    summary = RunSummary(recipe_name, last.seed, 0, None, folder)
    if not main:
        return summary
    found = [json.loads((each / "summary.json").read_text(encoding="utf-8")) for *_, each in done]
    stages = Stages(suites, data, last.seed, gold, load, progress)
    if suites:
        reference = load(base)
        stages.before(lambda: reference)
        stages.after(partial(load, model), lambda: reference)
    stages.record(folder, summary)
    summary.steps = sum(each["steps"] for each in found)
    stopped = {n: s["stopped_by"] for (n, *_), s in zip(done, found, strict=True)}
    summary.stopped_by = "; ".join(f"{n}: {why}" for n, why in stopped.items() if why) or None
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
    with generated_by(HF):  # as `unlearnkit attack` does
        attack_run(folder, attack, data, gold)
    conclude(folder, stages, summary, goals)
    summary.report = report_after_fit(folder, stages)
    return summary


def check_phases(phases: Sequence[Phase]) -> None:
    """Checks all phases; no weights are read.

    Raises:
        DataError: With all bad rows of all phases.
        UserError: For whatever else the first phase with a mistake refuses.
    """
    before: list[str] = []
    for phase in phases:
        if phase.refers is not None and phase.refers not in before:
            raise RecipeError(
                f"phase '{phase.name}': model.reference: there is no phase '{phase.refers}' before "
                f"it.{did_you_mean(phase.refers, before)}",
                hint=f"Before it: {', '.join(before) or 'none'}.",
            )
        before.append(phase.name)
    together(phase.check for phase in phases)


def _taken(folder: Path, take: Callable[[Path], None]) -> None:
    """Takes a folder for this process; another one may just have finished the run."""
    take(folder)
    refuse_finished(folder)
    remove_left_behind(folder.parent)


def _agreed(folder: Path, known: str | None) -> Path:
    """The folder that the first process has chosen, on all of them.

    Before they are connected it is the one that this process was started with, if any.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return Path(known) if known else folder
    held = [str(folder)]
    torch.distributed.broadcast_object_list(held, src=0)
    return Path(held[0])
