"""``unlearnkit validate``: what a recipe would train on, without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unlearnkit.cli import console
from unlearnkit.data.sampled import SampledData
from unlearnkit.runs.fit import check_before_loading
from unlearnkit.runs.phases import check_phases
from unlearnkit.suites import SuiteContext

if TYPE_CHECKING:
    from unlearnkit.cli.phased import PhasedRecipe
    from unlearnkit.cli.recipe import RecipeCLI
    from unlearnkit.data.encoded import StreamData


def preview(cli: RecipeCLI) -> None:
    """Checks the data, then shows streams, steps and the first row of each stream.

    Raises:
        DataError: With all bad rows.
        RecipeError: If model, adapter and data do not go together.
    """
    data, trainer = cli.datamodule, cli.trainer
    context = SuiteContext(max_length=data.max_length, seed=data.seed)
    check_before_loading(cli.model, data, cli.suites, context)
    world, accumulate = trainer.world_size, trainer.accumulate_grad_batches
    plan = data.make_plan(world, accumulate)
    steps = -(-plan.steps_per_epoch // accumulate)
    per_step = {
        name: stream.batch_size * accumulate * world for name, stream in plan.streams.items()
    }
    batch = (
        f"{per_step[data.anchor]} rows of '{data.anchor}': "
        f"{plan.streams[data.anchor].batch_size} × {accumulate} accumulated × {world} processes"
    )
    console.show_data(
        [
            ("optimiser steps per epoch", f"{steps} (one pass over '{data.anchor}')"),
            ("optimiser steps in all", _steps_in_all(cli, steps)),
            ("effective batch", batch),
        ],
        [
            (name, each.source, len(each), _tokens(each), each.dropped, per_step[name])
            for name, each in data.data.items()
        ],
    )
    for name, each in data.data.items():
        if _waits(each):
            continue
        first = each.at(0, 0)[0]
        console.show_example(
            name,
            first.source,
            (first.prompt_ids, data.tokenizer.decode(list(first.prompt_ids))),
            (first.response_ids, data.tokenizer.decode(list(first.response_ids))),
        )


def preview_phases(recipe: PhasedRecipe) -> None:
    """Checks all phases, then shows each as `preview` does.

    Raises:
        DataError: With all bad rows of all phases.
        RecipeError: If model, adapter and data do not go together.
    """
    clis = dict(recipe.clis)
    check_phases(recipe.phases())
    for name, cli in clis.items():
        console.show_phase(name)
        preview(cli)


def _steps_in_all(cli: RecipeCLI, per_epoch: int) -> str:
    epochs, most = cli.trainer.max_epochs, cli.trainer.max_steps
    bounds = [most] if most >= 0 else []
    if epochs is not None and epochs >= 0:
        bounds.append(epochs * per_epoch)
    return str(min(bounds)) if bounds else "unbounded"


def _tokens(data: StreamData) -> int:
    """Response tokens of one pass; 0 where the model has not answered yet."""
    if _waits(data):
        return 0
    return sum(data.lengths(row, row)[1] for row in range(len(data)))


def _waits(data: StreamData) -> bool:
    """Whether the rows are answers that the run is to draw first."""
    return isinstance(data, SampledData) and not data.drawn
