"""``unlearnkit tune``: searches a recipe's settings."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.overrides import read_command_line, refuse_unread, split_options
from unlearnkit.cli.recipe.shipped import recipe_name
from unlearnkit.cli.search_table import Searched, show_methods
from unlearnkit.cli.tuning import STAGES, STUDY, Job, measure_once, quiet, reported, start, work
from unlearnkit.cli.tuning_checks import check_search, job_of, refuse_idle_overrides
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.files import digest_of, write_json, write_text

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.overrides import CommandLine
    from unlearnkit.report.search import MetricLine
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
    study: str | None = None,
    storage: str | None = None,
    method: str | None = None,
    line: CommandLine | None = None,
) -> None:
    """Search the settings that the section tune: of a recipe names.

    unlearnkit tune --recipe RECIPE [--KEY VALUE ...] [--tune.budget.trials N]. Half of the rows of
    each stream choose the settings, and the others are reported. It ends with the recipe of the
    best trial, a report, and runs of that recipe on several seeds.

    Args:
        study: Folder of a stopped search, to continue it.
        storage: URL of a database that several machines share, such as postgresql://host/name; by
            default a file in the search's folder.
        method: Shipped methods, such as npo,simnpo,llmu. Each takes the place of the recipe's
            objectives, and is searched with the default ranges of its own.
        line: The recipe and its overrides.

    Raises:
        RecipeError: For a recipe without the section, or of phases, and for every mistake of it.
        UserError: If ``study`` is a search of other settings, or for overrides without effect.
    """
    if line is None or not line.recipes:
        raise RecipeError("no recipe is given.", hint="unlearnkit tune --recipe mine.yaml")
    refuse_unread(line, "tune")
    with heavy_imports():
        quiet()
    names = _methods(method)
    jobs = [job_of(line, each) for each in names]
    refuse_idle_overrides(line, jobs, methods=method is not None)
    for job in jobs:
        check_search(job)
    folders = _folders(study, jobs, names, line)
    searched: list[Searched] = []
    for name, job, folder in zip(names, jobs, folders, strict=True):
        if name is not None:
            console.out().print(f"method {name}", style="bold")
        url = storage or f"sqlite:///{(folder / STUDY).absolute()}"
        job = replace(job, folder=folder, storage=url, name=f"{job.name} {_digest(job)}")
        console.out().show_line(f"search folder: {folder}")
        if not (folder / STAGES).is_file():
            measure_once(job, folders)
        search = job.search()
        try:
            _run(job, search)
        except KeyboardInterrupt:
            raise UserError(
                f"{len(search.found().trials)} of {job.tuning.budget.trials} trials have ended.",
                title="stopped",
                hint=f"Continue with the same command and --study {_root(folder, name)}",
            ) from None
        searched.append(Searched(name or "", *_finish(job, search.found(), line)))
    if len(searched) > 1:
        show_methods(searched, _root(folders[0], names[0]))


def _methods(given: str | None) -> list[str | None]:
    if given is None:
        return [None]
    names = [each.strip() for each in given.split(",")]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise RecipeError(f"--method: {', '.join(twice)} is named twice.")
    return [*names]


def _root(folder: Path, method: str | None) -> Path:
    """The folder that ``--study`` takes."""
    return folder if method is None else folder.parent


def _folders(
    study: str | None, jobs: list[Job], names: list[str | None], line: CommandLine
) -> list[Path]:
    """The folder of each search: one of its own, or one of each method below it."""
    from unlearnkit.runs import new_folder

    if study is None:
        run_dir = jobs[0].recipe({}).config.run_dir
        root = new_folder(Path(run_dir) / "tune", recipe_name(line.recipes[0]))
    else:
        root = Path(study)
        if not any((root / (name or "") / _MADE).is_file() for name in names):
            raise UserError(f"--study: {root} is no folder of a search.", title="search")
    found: list[Path] = []
    for job, name in zip(jobs, names, strict=True):
        folder, made = root / (name or ""), {"digest": _digest(job)}
        if not (folder / _MADE).exists():
            folder.mkdir(exist_ok=True)
            write_json(folder / _MADE, made)
        elif _read(folder / _MADE) != made:
            raise UserError(
                f"--study: the search in {folder} is of another recipe, other rows or models, or "
                "other ranges or levels.",
                title="search",
                hint="Give the command that it was begun with, or begin anew without --study.",
            )
        found.append(folder)
    return found


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--study: {path} cannot be read: {error}", title="search") from error


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


def _finish(job: Job, found: Found, line: CommandLine) -> tuple[Found, list[MetricLine]]:
    """Writes the best recipe and the report, and runs it on seeds."""
    from unlearnkit.cli.search_table import lines_of, points_of, show_search
    from unlearnkit.report.search import search_report

    best = found.best
    cli = job.recipe(best.settings)
    text = f"# Trial {best.number} of {len(found.trials)}: distance {best.distance:.3f}\n"
    write_text(job.folder / _BEST, text + job.text(best.settings))
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
        console.out().show_line(f"{what}: {job.folder / path}")
    return found, lines
