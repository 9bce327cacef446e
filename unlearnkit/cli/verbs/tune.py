"""``unlearnkit tune``: searches a recipe's settings."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import apply, read_command_line, split_options
from unlearnkit.cli.recipe.shipped import recipe_name
from unlearnkit.cli.tuning import ROWS, STAGES, STUDY, Job, quiet, reported, start, work
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.files import digest_of, write_json, write_rows, write_text

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.overrides import CommandLine
    from unlearnkit.cli.recipe.tuning import Tuning
    from unlearnkit.search.found import Found
    from unlearnkit.search.study import Search

HELP = "Search a recipe's settings: near to gold, within bounds, then on rows of their own."
_BEST, _MADE, _PAGE = "best.yaml", "search.json", "report.html"


def command(argv: list[str]) -> None:
    """Searches the recipe that the words name."""
    options = ["-h", "--help", *(f"--{name}" for name in inspect.signature(tune).parameters)]
    own, rest = split_options(argv, options)
    call(tune, own, "tune", line=read_command_line(rest))


def tune(
    study: str | None = None, storage: str | None = None, line: CommandLine | None = None
) -> None:
    """Search the settings that the section tune: of a recipe names.

    unlearnkit tune --recipe RECIPE [--KEY VALUE ...] [--tune.budget.trials N]. Half of the rows of
    each stream choose the settings, and the others are reported. It ends with the recipe of the
    best trial, a report, and runs of that recipe on several seeds.

    Args:
        study: Folder of a stopped search, to continue it.
        storage: URL of a database that several machines share, such as postgresql://host/name; by
            default a file in the search's folder.
        line: The recipe and its overrides.

    Raises:
        RecipeError: For a recipe without the section, or of phases, and for every mistake of it.
        UserError: If ``study`` is a search of other settings.
    """
    if line is None or not line.recipes:
        raise RecipeError("no recipe is given.", hint="unlearnkit tune --recipe mine.yaml")
    with heavy_imports():
        quiet()
    tuning = _tuning(line)
    name = recipe_name(line.recipes[0])
    job = Job(line.recipes, line.overrides, Path(), "", name, tuning=tuning)
    _check(job)
    folder = _folder(study, job, line)
    url = storage or f"sqlite:///{(folder / STUDY).absolute()}"
    job = Job(line.recipes, line.overrides, folder, url, f"{name} {_digest(job)}", tuning=tuning)
    console.out().print(f"search folder: {folder}", markup=False, soft_wrap=True)
    if not (folder / STAGES).is_file():
        _measure(job)
    search = job.search()
    try:
        _run(job, search)
    except KeyboardInterrupt:
        raise UserError(
            f"{len(search.found().trials)} of {tuning.budget.trials} trials have ended.",
            title="stopped",
            hint=f"Continue with the same command and --study {folder}",
        ) from None
    _finish(job, search.found(), line)


def _tuning(line: CommandLine) -> Tuning:
    # It imports torch, and every verb is imported for the list of verbs.
    from unlearnkit.cli.recipe.tuning import take_tuning

    document = read(line.recipes)
    apply(document, [each for each in line.overrides if each.path[0] == "tune"])
    tuning = take_tuning(document)
    if tuning is None:
        raise RecipeError(
            f"{document.name} has no section tune:, so there is nothing to search.",
            hint="Add tune: {search: {model.optimizer.lr: {log: [1e-5, 1e-3]}}, "
            "towards: {SUITE/forget/METRIC: gold}}.",
        )
    return tuning


def _check(job: Job) -> None:
    """Refuses settings that the recipe does not take, and metrics that no suite measures."""
    from unlearnkit.runs.preflight import preflight
    from unlearnkit.runs.trial import refuse_unfit
    from unlearnkit.suites.meaning import address

    space, wanted = job.tuning.space, job.tuning.wanted
    middle = {name: each.corners[0] for name, each in space.items()}
    planned = job.planned(middle)
    if not planned.suites:
        raise RecipeError(
            "evaluate: the recipe names no suite, so trials cannot be told apart.",
            hint="Add evaluate: [copyright].",
        )
    for field, keys in (("towards", wanted.towards), ("keep", [each.key for each in wanted.keep])):
        for key in keys:
            full = address(key, planned.suites, f"tune.{field}")
            if full != key:
                raise RecipeError(f"tune.{field}: write '{full}' in place of '{key}'.")
    preflight(planned)
    refuse_unfit(planned)
    for name, each in space.items():
        for value in each.corners[1:]:
            job.recipe({**middle, name: value})


def _folder(study: str | None, job: Job, line: CommandLine) -> Path:
    from unlearnkit.runs import new_folder

    made = {"digest": _digest(job)}
    if study is not None:
        folder = Path(study)
        try:
            known = json.loads((folder / _MADE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"--study: {folder} is no folder of a search.", title="search"
            ) from error
        if known != made:
            raise UserError(
                f"--study: the search in {folder} is of another recipe, other rows or models, or "
                "other ranges or levels.",
                title="search",
                hint="Give the command that it was begun with, or begin anew without --study.",
            )
        return folder
    run_dir = job.recipe({}).config.run_dir
    folder = new_folder(Path(run_dir) / "tune", recipe_name(line.recipes[0]))
    write_json(folder / _MADE, made)
    return folder


def _digest(job: Job) -> str:
    """Of all that a trial's value depends on: recipe, rows, models, ranges and levels."""
    from unlearnkit.data.encoded import data_fingerprint
    from unlearnkit.models.fingerprint import model_fingerprint

    cli = job.recipe({})
    cli.datamodule.check()
    made = [cli.recipe_text, model_fingerprint(cli.model.base)]
    made += [model_fingerprint(each) for each in (cli.config.gold,) if each]
    made += [f"{name} {data_fingerprint(each)}" for name, each in cli.datamodule.data.items()]
    space, wanted = job.tuning.space, job.tuning.wanted
    made += [f"{key} {each}" for key, each in space.items()]
    made += [f"{key} {level}" for key, level in wanted.towards.items()]
    made += [f"{key} {side} {level}" for key, side, level in wanted.keep]
    return digest_of("\n".join(made).encode())[:12]


def _measure(job: Job) -> None:
    """Measures the starting model and the gold model, once for all trials."""
    import torch

    from unlearnkit.runs.trial import Measurer, stages
    from unlearnkit.search.folds import FOLDS, Folds

    planned = job.planned({})
    console.out().print("measuring the starting model and the gold model", style="dim")
    found = stages(planned)
    folds = Folds({suite: result.rows for suite, result in found["before"].items()})
    values: dict[str, Any] = {}
    for fold in FOLDS:
        measurer = Measurer(
            planned.suites, None, lambda rows, fold=fold: folds.of(rows, fold), torch.device("cpu")
        )
        values[fold] = {stage: measurer.metrics(result) for stage, result in found.items()}
    texts = ("stream", "row", "source", "prompt", "reference")
    rows = [
        {"suite": suite, **{key: row[key] for key in texts if key in row}}
        for suite, result in found["before"].items()
        for row in result.rows
    ]
    write_rows(job.folder / ROWS, rows)
    write_json(job.folder / STAGES, values)  # last: it says that both are there


def _run(job: Job, search: Search) -> None:
    """Runs trials, in this process or in several, and shows how many ended."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("trials"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[best]}"),
    )
    with Progress(*columns, console=console.err()) as progress:
        task = progress.add_task("trials", total=job.tuning.budget.trials, best="")

        def show() -> None:
            found = search.found()
            complete = any(each.distance is not None for each in found.trials)
            best = f"nearest {found.best.distance:.3f}" if complete else ""
            progress.update(task, completed=len(found.trials), best=best)

        show()
        if job.tuning.workers == 1:
            work(job, show)
        else:
            _in_processes(job, show)
    if not search.found().trials:
        raise UserError(
            "no trial ended; what the processes said stands above.",
            title="search",
            hint="Run the recipe once with `unlearnkit fit` to see why.",
        )


def _in_processes(job: Job, show: Callable[[], None]) -> None:
    processes = start(job, job.tuning.workers)
    try:
        while any(each.is_alive() for each in processes):
            time.sleep(0.5)
            show()
    finally:
        for each in processes:
            each.terminate()
            each.join()


def _finish(job: Job, found: Found, line: CommandLine) -> None:
    """Writes the best recipe and the report, and runs it on seeds."""
    from unlearnkit.cli.search_table import lines_of, points_of, show_search
    from unlearnkit.report.search import search_report

    best = found.best
    cli = job.recipe(best.settings)
    text = f"# Trial {best.number} of {len(found.trials)}: distance {best.distance:.3f}\n"
    write_text(job.folder / _BEST, text + cli.recipe_text)
    runs = reported(job, best, cli.config.seed_everything)
    stages = {fold: job.stages(fold) for fold in ("choosing", "reporting")}
    lines = lines_of(found, job.tuning.wanted, stages, runs)
    name = recipe_name(line.recipes[0])
    page = search_report(
        points_of(found), found.importances, lines, recipe=name, seeds=job.tuning.seeds
    )
    write_text(job.folder / _PAGE, page)
    show_search(found, lines)
    for what, path in (("recipe", _BEST), ("report", _PAGE)):
        console.out().print(f"{what}: {job.folder / path}", markup=False, soft_wrap=True)
