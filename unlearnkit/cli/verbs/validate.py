"""``unlearnkit validate``: checks a recipe and shows its rows."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.verbs.base import recipe
from unlearnkit.redact import redacted

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe
    from unlearnkit.models.base import BaseModel

HELP = "Check a recipe, its data, downloads and memory, without loading the model."
_T = TypeVar("_T")


def command(argv: list[str]) -> None:
    """Checks the recipe that the words name."""
    with heavy_imports():
        from unlearnkit.models.hub import hub_asked_once

    with hub_asked_once():
        _check(argv)


def _check(argv: list[str]) -> None:
    cli, line = recipe(argv, "validate")
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe
    from unlearnkit.cli.recipe.tuning import SECTION
    from unlearnkit.cli.tuning_checks import check_section, job_of
    from unlearnkit.data.generated import HF, generated_by

    # Of phases, or with another backend, nothing can be searched; the recipe itself is right.
    searched = not isinstance(cli, PhasedRecipe) and cli.generation == HF
    if searched and line.recipes and SECTION in read(line.recipes).tree:
        check_section(job_of(line))
    with generated_by(cli.generation):
        if isinstance(cli, PhasedRecipe):
            preview_phases(cli)
        else:
            plan = redacted(f"unlearnkit plan {shlex.join(argv)} --gpu h100")
            _show_downloads([cli], cli.choices)
            preview(cli, plan)


def _show_downloads(
    clis: Sequence[RecipeCLI],
    choices: dict[str, tuple[str, list[str]]],
    others: Sequence[tuple[str, str | BaseModel | None]] = (),
) -> None:
    """What is known before any file is read: choices, and what is read of the Hub."""
    from huggingface_hub import constants

    from unlearnkit.cli.planned import show_choices, show_downloads
    from unlearnkit.runs.planning.downloads import (
        asked_of_hub,
        harness_tasks,
        looked_up,
        models_asked,
    )

    show_choices(choices)
    given = [(cli.model, cli.datamodule, cli.suites, cli.config.gold) for cli in clis]
    asked = [each for recipe in given for each in asked_of_hub(*recipe)]
    found = looked_up([*asked, *models_asked(others)])
    tasks = harness_tasks([suite for cli in clis for suite in cli.suites])
    show_downloads(found, tasks, constants.is_offline_mode())


def preview(cli: RecipeCLI, plan: str | None = None) -> None:
    """Checks the data, then shows streams, steps, memory and the first row of each stream.

    Args:
        cli: The recipe.
        plan: The command that says what it needs of GPUs.

    Raises:
        DataError: With all bad rows.
        RecipeError: If model, adapter and data do not go together.
    """
    from unlearnkit.cli.banner import in_parts, in_streams
    from unlearnkit.cli.recipe.signature import own_files
    from unlearnkit.runs.planning.part_sizes import answers_of, waits
    from unlearnkit.runs.preflight import Planned, preflight

    data, trainer = cli.datamodule, cli.trainer
    given = (cli.model, data, trainer, cli.suites, cli.config.gold, data.seed)
    planned = Planned(*given, cli.attacks, cli.config.goals)
    batches = _checked(lambda: preflight(planned), cli, plan)
    per_step = batches.rows_per_step
    batch = f"{batches.effective_batch} rows of '{data.anchor}': {in_parts(batches)}"
    steps = "unbounded" if batches.total_steps is None else str(batches.total_steps)
    cut = {name: told for name, each in data.data.items() if (told := each.cuts())}
    console.show_data(
        [
            *(
                [
                    (
                        f"cut at data.max_length {data.max_length}",
                        in_streams(cut),
                    )
                ]
                if cut
                else []
            ),
            (
                "optimiser steps per epoch",
                f"{batches.steps_per_epoch} (one pass over '{data.anchor}')",
            ),
            *(("own code", f"{module} ({file})") for module, file in own_files.items()),
            ("optimiser steps in all", steps),
            ("warm-up steps", str(batches.warmup_steps)),
            ("effective batch", batch),
            ("memory", _memory(cli)),
            *([("on a GPU", plan)] if plan else []),
        ],
        [
            (name, each.source, len(each), answers_of(each), each.dropped, per_step.get(name, "-"))
            for name, each in data.data.items()
        ],
    )
    for name, each in data.data.items():
        if waits(each):
            continue
        first = each.at(0, 0)[0]
        console.show_example(
            name,
            first.source,
            (first.prompt_ids, data.tokenizer.decode(list(first.prompt_ids))),
            (first.response_ids, data.tokenizer.decode(list(first.response_ids))),
        )


def preview_phases(phased: PhasedRecipe) -> None:
    """Checks all phases, then shows each as `preview` does.

    Raises:
        DataError: With all bad rows of all phases.
        RecipeError: If model, adapter and data do not go together.
    """
    from unlearnkit.runs.phases.edit import Edit
    from unlearnkit.runs.phases.run import check_phases

    clis = dict(phased.clis)
    phases = phased.phases()
    edits = [each for each in phases if isinstance(each, Edit) and each.base != phased.base]
    bases = [(f"edit.base of phase {each.name}", each.base) for each in edits]
    _show_downloads(list(clis.values()), phased.choices, bases)
    first = next(iter(clis.values()))
    _checked(lambda: check_phases(phases), first)
    for name, cli in clis.items():
        console.show_phase(name)
        if cli.model.other is not None and cli.model.other.path is None:
            cli.model.other = None  # that of an earlier phase, which is there when this one runs
        preview(cli)


def _checked(check: Callable[[], _T], cli: RecipeCLI, plan: str | None = None) -> _T:
    """What a check gives; where it finds no config of the model, memory is told as not known."""
    from unlearnkit.errors import UserError
    from unlearnkit.models.load import load_config

    try:
        return check()
    except UserError:
        try:
            load_config(cli.model.base)
        except UserError:
            later = "; with it: unlearnkit plan" if plan else ""
            console.out().print(f"memory: not known without the model's config{later}")
        raise


def _memory(cli: RecipeCLI) -> str:
    """The memory of the run on this machine, in words."""
    from lightning.pytorch.accelerators import CUDAAccelerator

    from unlearnkit.cli.planned import memory_text
    from unlearnkit.errors import UserError
    from unlearnkit.runs.planning.described import memory_here

    try:
        memory, notes = memory_here(cli.model, cli.datamodule, cli.trainer)
    except UserError as error:
        return f"not computed: {error.message}"
    except Exception as error:  # a model of a kind that is not counted is trained all the same
        return f"not computed ({type(error).__name__}: {error})"
    return memory_text(memory, notes, isinstance(cli.trainer.accelerator, CUDAAccelerator))
