"""Mistakes of a search, found before a model is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.arguments import refuse_idle
from unlearnkit.cli.recipe.document import Document, read
from unlearnkit.cli.recipe.methods import default_space, method_overrides
from unlearnkit.cli.recipe.overrides import Override, apply
from unlearnkit.cli.recipe.shipped import recipe_name
from unlearnkit.cli.tuning import Job
from unlearnkit.errors import RecipeError
from unlearnkit.families import path_of

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.overrides import CommandLine
    from unlearnkit.cli.recipe.tuning import Tuning
    from unlearnkit.runs.preflight import Planned

_STEPS = "trainer.max_steps"


def job_of(line: CommandLine, method: str | None = None) -> Job:
    """The search that a command line names; its folder and storage are still to be given.

    Args:
        line: The recipe and its overrides.
        method: A shipped method in the place of the recipe's objectives.

    Raises:
        RecipeError: Without the section ``tune:``, and with all mistakes of it.
    """
    document = read(line.recipes)
    laid = method_overrides(method, document) if method is not None else []
    tuning = _tuning(line, document, laid)
    name = " ".join(each for each in (recipe_name(line.recipes[0]), method) if each)
    return Job(line.recipes, [*laid, *line.overrides], Path(), "", name, tuning=tuning)


def refuse_idle_overrides(line: CommandLine, jobs: Sequence[Job], methods: bool) -> None:
    """Refuses overrides of what every search draws anew for each trial, or takes from elsewhere.

    Args:
        line: The recipe and its overrides.
        jobs: The searches.
        methods: Whether they are of shipped methods, which have ranges of their own.

    Raises:
        UserError: With all of them.
    """
    drawn = [{path_of(name): name for name in job.tuning.space} for job in jobs]
    idle: dict[str, str] = {}
    for path in sorted((each.path for each in line.overrides), key=str):
        name = ".".join(str(step) for step in path)
        above = [path[: end + 1] for end in range(len(path))]
        found = [next((each[own] for own in above if own in each), None) for each in drawn]
        if all(found):
            idle[name] = f"on a search that draws {found[0]}"
        elif methods and path[:2] == ("tune", "search"):
            idle[name] = "beside --method, whose methods have ranges of their own"
    refuse_idle(idle)


def check_search(job: Job) -> None:
    """Refuses mistakes of the section, and runs that cannot be trials.

    Raises:
        RecipeError: With all metrics and levels that cannot be, or the first of the others.
    """
    from unlearnkit.runs.trial import refuse_unfit

    refuse_unfit(check_section(job))


def check_section(job: Job) -> Planned:
    """Refuses settings that the recipe does not take, and metrics that no suite measures.

    Returns:
        The run of one trial.

    Raises:
        RecipeError: With all metrics and levels that cannot be, or the first setting.
    """
    from unlearnkit.runs.preflight import preflight

    space = job.tuning.space
    middle = {name: each.corners[0] for name, each in space.items()}
    planned = job.planned(middle)
    if not planned.suites:
        raise RecipeError(
            "evaluate: the recipe names no suite, so trials cannot be told apart.",
            hint="Add evaluate: [copyright].",
        )
    mistakes = list(_mistakes(job, planned))
    if mistakes:
        told = "\n".join(each.message for each in mistakes)
        raise RecipeError(read(job.recipes).located(told), hint=mistakes[0].hint)
    preflight(planned)
    for name, each in space.items():
        for value in each.corners[1:]:
            job.recipe({**middle, name: value})
    _steps_that_never_come(job, middle)
    return planned


def _tuning(line: CommandLine, document: Document, laid: list[Override]) -> Tuning:
    # It imports torch, and every verb is imported for the list of verbs.
    from unlearnkit.cli.recipe.tuning import SECTION, take_tuning

    own = [
        each for each in line.overrides if laid or len(each.path) == 1 or each.path[0] == SECTION
    ]
    apply(document, [*laid, *own])
    if laid and isinstance(document.tree.get(SECTION), dict):
        document.tree[SECTION]["search"] = default_space(document.tree)
    tuning = take_tuning(document)
    if tuning is None:
        raise RecipeError(
            f"{document.name} has no section tune:, so there is nothing to search.",
            hint="Add tune: {search: {model.optimizer.lr: {log: [1e-5, 1e-3]}}, "
            "towards: {SUITE/forget/METRIC: gold}}.",
        )
    return tuning


def _mistakes(job: Job, planned: Planned) -> Iterator[RecipeError]:
    """What is wrong with the metrics and their levels."""
    from unlearnkit.suites.meaning import address

    wanted = job.tuning.wanted
    for field, levels in (
        ("towards", list(wanted.towards.items())),
        ("keep", [(each.key, each.level) for each in wanted.keep]),
    ):
        for key, level in levels:
            place = f"tune.{field}.{key}"
            try:
                full = address(key, planned.suites, place)
            except RecipeError as error:
                yield error
                continue
            if full != key:
                yield RecipeError(f"{place}: write '{full}' in place of '{key}'.")
            if "gold" in level.names and not planned.gold:
                yield RecipeError(
                    f"{place}: its level '{level}' refers to gold, but there is no such model.",
                    hint="Give the recipe a gold model, or a number in place of gold.",
                )


def _steps_that_never_come(job: Job, middle: dict[str, Any]) -> None:
    """Refuses a range of steps that epochs end before."""
    from unlearnkit.runs.preflight import preflight

    if _STEPS not in job.tuning.space:
        return
    most = max(job.tuning.space[_STEPS].corners)
    planned = job.planned({**middle, _STEPS: most})
    steps = preflight(planned).total_steps
    if steps is not None and steps < most:
        raise RecipeError(
            f"tune.search: {_STEPS} goes up to {most}, and trainer.max_epochs: "
            f"{planned.trainer.max_epochs} ends after {steps} steps",
            hint="Set trainer.max_epochs: -1, or a range within these steps.",
        )
