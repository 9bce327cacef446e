"""``unlearnkit validate``: checks a recipe and shows its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.verbs.base import recipe

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe
    from unlearnkit.data.encoded import StreamData

HELP = "Check a recipe and its data without loading the model."


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
            preview(cli)


def preview(cli: RecipeCLI) -> None:
    """Checks the data, then shows streams, steps and the first row of each stream.

    Raises:
        DataError: With all bad rows.
        RecipeError: If model, adapter and data do not go together.
    """
    from unlearnkit.cli.banner import in_parts, in_streams
    from unlearnkit.cli.recipe.signature import own_files
    from unlearnkit.runs.preflight import Planned, preflight

    data, trainer = cli.datamodule, cli.trainer
    given = (cli.model, data, trainer, cli.suites, cli.config.gold, data.seed)
    batches = preflight(Planned(*given, cli.attacks, cli.config.goals))
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
            *(
                (f"choice {name}", f"{chosen}; of {', '.join(names)}")
                for name, (chosen, names) in cli.choices.items()
            ),
            *(("own code", f"{module} ({file})") for module, file in own_files.items()),
            ("optimiser steps in all", steps),
            ("warm-up steps", str(batches.warmup_steps)),
            ("effective batch", batch),
        ],
        [
            (name, each.source, len(each), _tokens(each), each.dropped, per_step.get(name, "-"))
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


def preview_phases(phased: PhasedRecipe) -> None:
    """Checks all phases, then shows each as `preview` does.

    Raises:
        DataError: With all bad rows of all phases.
        RecipeError: If model, adapter and data do not go together.
    """
    from unlearnkit.runs.phases.run import check_phases

    clis = dict(phased.clis)
    check_phases(phased.phases())
    for name, (chosen, names) in phased.choices.items():
        console.out().print(f"choice {name}: {chosen}; of {', '.join(names)}")
    for name, cli in clis.items():
        console.show_phase(name)
        preview(cli)


def _tokens(data: StreamData) -> int:
    """Response tokens of one pass; 0 where the model has not answered yet."""
    if _waits(data):
        return 0
    return sum(data.lengths(row, row)[1] for row in range(len(data)))


def _waits(data: StreamData) -> bool:
    """Whether the rows are answers that the run is to draw first."""
    from unlearnkit.data.streams.sampled import SampledData

    return isinstance(data, SampledData) and not data.drawn
