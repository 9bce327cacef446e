"""``unlearnkit fit``: trains by a recipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unlearnkit.arguments import refuse_idle
from unlearnkit.cli import console
from unlearnkit.cli.recipe.overrides import CHANGES, CHECKPOINT
from unlearnkit.cli.recipe.shipped import recipe_name
from unlearnkit.cli.verbs.base import recipe
from unlearnkit.errors import optional

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe
    from unlearnkit.cli.recipe.overrides import CommandLine
    from unlearnkit.runs import RunSummary

HELP = "Unlearn by a recipe: evaluate, train, evaluate again, save the run."


def command(argv: list[str]) -> None:
    """Unlearns by the recipe that the words name."""
    cli, line = _recipe(argv)
    if CHANGES in line.switches and line.ckpt_path is None:
        refuse_idle({CHANGES.removeprefix("--"): f"without {CHECKPOINT}"})
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe
    from unlearnkit.data.generated import generated_by

    with generated_by(cli.generation):
        if isinstance(cli, PhasedRecipe):
            _fit_phases(cli, line)
        else:
            _fit(cli, line)


def _fit(cli: RecipeCLI, line: CommandLine) -> None:
    from unlearnkit.cli.banner import show_start
    from unlearnkit.cli.recipe.build_phases import resolved
    from unlearnkit.runs import fit

    summary = fit(
        cli.model,
        cli.datamodule,
        cli.trainer,
        recipe_name=recipe_name(line.recipes[0]),
        recipe_text=cli.recipe_text,
        evaluate=cli.suites,
        gold=cli.config.gold,
        run_dir=cli.config.run_dir,
        seed=cli.config.seed_everything,
        ckpt_path=line.ckpt_path,
        resume_with_changes=CHANGES in line.switches,
        resolve=resolved,
        on_start=show_start,
        attack=cli.attacks,
        goals=cli.config.goals,
    )
    if cli.trainer.is_global_zero:
        with optional("the table of results"):
            console.show_summary(summary)
        _conclude(summary)


def _recipe(argv: list[str]) -> tuple[RecipeCLI | PhasedRecipe, CommandLine]:
    """The recipe; if torchrun started several processes, once each of them has read its own."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return recipe(argv, "fit")
    from unlearnkit.engine.launched import begun_by_all

    return begun_by_all(lambda: recipe(argv, "fit"))


def _fit_phases(phased: PhasedRecipe, line: CommandLine) -> None:
    from unlearnkit.cli.recipe.build_phases import resolved
    from unlearnkit.runs.phases.run import fit_phases

    summary = fit_phases(
        phased.phases(resume_with_changes=CHANGES in line.switches),
        base=phased.base,
        recipe_name=recipe_name(line.recipes[0]),
        recipe_text=phased.recipe_text,
        run_dir=phased.run_dir,
        attack=phased.attacks,
        goals=phased.goals,
        ckpt_path=line.ckpt_path,
        resolve=resolved,
        on_phase=console.show_phase,
    )
    if summary.phases:  # the first process has them
        with optional("the table of results"):
            console.show_summary(summary)
            console.show_requests(summary.requests)
        _conclude(summary)


def _conclude(summary: RunSummary) -> None:
    from unlearnkit.cli.conclusion import GOALS_NOT_MET, show_conclusion

    if not show_conclusion(summary.conclusion):
        raise SystemExit(GOALS_NOT_MET)
