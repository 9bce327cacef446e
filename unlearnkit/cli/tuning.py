"""Trials of ``unlearnkit tune``: recipes built with settings."""

from __future__ import annotations

import gc
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import Override, apply
from unlearnkit.errors import RecipeError
from unlearnkit.families import path_of
from unlearnkit.files import write_json, write_rows, write_text

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.runs.preflight import Planned
    from unlearnkit.search.folds import Folds
    from unlearnkit.search.found import TrialResult
    from unlearnkit.search.study import Search, Values

STAGES, ROWS, STUDY = "stages.json", "rows.jsonl", "study.db"
_QUIET = {"trainer.enable_progress_bar": False}


@dataclass(frozen=True)
class Job:
    """A search that a process can join.

    Args:
        recipes: The recipe's files.
        overrides: Those of the command line.
        folder: Folder of the search.
        storage: URL of the study's database.
        name: Name of the study.
        threads: Of this process; 0 for as many as torch takes.
    """

    recipes: list[Path]
    overrides: list[Override]
    folder: Path
    storage: str
    name: str
    threads: int = 0
    tuning: Any = field(default=None)

    def recipe(self, settings: dict[str, Any], seed: int | None = None) -> RecipeCLI:
        """The recipe with a trial's settings.

        Raises:
            RecipeError: For a setting that the recipe does not take, and for one of phases.
        """
        from unlearnkit.cli.recipe.build import RecipeCLI
        from unlearnkit.cli.recipe.build_phases import recipe_of
        from unlearnkit.data.generated import HF
        from unlearnkit.data.rows.reader import search_folders

        search_folders.set(tuple(path.parent for path in self.recipes))
        given = dict(settings) if seed is None else {**settings, "seed_everything": seed}
        made = recipe_of(read(self.recipes), self._laid(given), "tune", False)
        if not isinstance(made, RecipeCLI):
            raise RecipeError(
                "tune: a recipe of phases cannot be searched",
                hint="Give the phase that is to be searched a recipe of its own.",
            )
        if made.generation != HF:
            raise RecipeError(
                f"generation.backend: {made.generation.name}: trials are measured by {HF.name}",
                hint="Leave it out of the search; `unlearnkit fit` of the recipe it finds takes "
                "it.",
            )
        return made

    def text(self, settings: dict[str, Any]) -> str:
        """The recipe with a trial's settings as its author would write it, without defaults."""
        from unlearnkit.cli.recipe.build import written
        from unlearnkit.cli.recipe.tuning import SECTION

        document = read(self.recipes)
        apply(document, self._laid(settings))
        return written({key: each for key, each in document.tree.items() if key != SECTION})

    def _laid(self, settings: dict[str, Any]) -> list[Override]:
        chosen = [Override(path_of(key), value) for key, value in settings.items()]
        return [*self.overrides, *chosen]

    def planned(self, settings: dict[str, Any]) -> Planned:
        """A trial's run, without a progress bar."""
        from unlearnkit.runs.preflight import Planned

        cli = self.recipe({**settings, **_QUIET})
        seed = cli.config.seed_everything
        return Planned(cli.model, cli.datamodule, cli.trainer, cli.suites, cli.config.gold, seed)

    def folds(self) -> Folds:
        """Rows that choose, and rows that are reported."""
        from unlearnkit.search.folds import Folds

        by_suite: dict[str, list[dict[str, Any]]] = {}
        for line in (self.folder / ROWS).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            by_suite.setdefault(row["suite"], []).append(row)
        return Folds(by_suite)

    def stages(self, fold: str) -> dict[str, Values]:
        """Metrics of the starting and the gold model on a fold, by stage."""
        return json.loads((self.folder / STAGES).read_text(encoding="utf-8"))[fold]

    def search(self) -> Search:
        """The study."""
        from unlearnkit.search.study import Search

        tuning = self.tuning
        return Search(
            self.storage,
            self.name,
            tuning.space,
            tuning.wanted,
            self.stages("choosing"),
            tuning.budget,
            sampler=tuning.sampler,
        )


def measure_once(job: Job, folders: Sequence[Path] = ()) -> None:
    """Measures the starting model and the gold model, once for all trials.

    Args:
        job: The search.
        folders: Of searches of other methods, on the same rows and models; what one of them
            measured is taken over.
    """
    import torch

    from unlearnkit.runs.trial import Measurer, stages
    from unlearnkit.search.folds import FOLDS, Folds

    for each in folders:
        if (each / STAGES).is_file():
            for name in (ROWS, STAGES):
                write_text(job.folder / name, (each / name).read_text(encoding="utf-8"))
            return
    planned = job.planned({})
    gold = " and the gold model" if planned.gold else ""
    console.out().print(f"measuring the starting model{gold}", style="dim")
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


def work(job: Job, after: Callable[[], None] = lambda: None) -> None:
    """Runs trials until the budget is spent.

    Args:
        job: The search.
        after: Called after each trial.
    """
    with heavy_imports():
        import torch

        from unlearnkit.runs.trial import Measurer, trial

    quiet()
    if job.threads:
        torch.set_num_threads(job.threads)
    folds = job.folds()
    first = job.planned({})
    measurer = Measurer(
        first.suites,
        first.gold,
        lambda rows: folds.of(rows, "choosing"),
        first.trainer.strategy.root_device,
    )
    compares = any("kl" in key.rpartition("/")[2].split("_") for key in job.tuning.wanted.keys)

    def run(settings: dict[str, Any], report: Any) -> Values:
        found = trial(job.planned(settings), measurer, report, reference=compares)
        gc.collect()  # Lightning's trainer and the module hold each other, and a model
        return found

    job.search().work(run, after)


def quiet() -> None:
    """Keeps Lightning from greeting anew for every trial."""
    import lightning.pytorch  # noqa: F401  its import sets the levels

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def start(job: Job, workers: int) -> list[Any]:
    """Starts processes that run trials, each with its share of the threads."""
    import multiprocessing
    from dataclasses import replace

    threads = max(1, (os.cpu_count() or 1) // workers)
    spawn = multiprocessing.get_context("spawn")
    started = [spawn.Process(target=work, args=(replace(job, threads=threads),), daemon=True)
               for _ in range(workers)]  # fmt: skip
    for each in started:
        each.start()
    return started


def reported(job: Job, best: TrialResult, seed: int) -> list[dict[str, float | None]]:
    """Runs the recipe of a trial on several seeds, and measures it on the reporting rows.

    Runs that are there are not run again.

    Args:
        job: The search.
        best: The trial.
        seed: The first seed.

    Returns:
        Metrics by address, one mapping per seed.
    """
    import torch

    from unlearnkit.runs.trial import Measurer

    folds, suites = job.folds(), job.recipe(best.settings).suites
    measurer = Measurer(
        suites, None, lambda given: folds.of(given, "reporting"), torch.device("cpu")
    )
    found: list[dict[str, float | None]] = []
    for number in range(seed, seed + job.tuning.seeds):
        place = job.folder / "runs" / f"trial-{best.number}" / f"seed-{number}"
        # One that was stopped before it was measured stays as it is, and another takes its turn.
        tries = [place, *(place.with_name(f"{place.name}_{again}") for again in range(2, 100))]
        folder = next(each for each in tries if not each.exists() or (each / ROWS).is_file())
        if not folder.exists():
            _fit(job.recipe(best.settings, number), folder)
        rows: dict[str, list[dict[str, Any]]] = {}
        for text in (folder / ROWS).read_text(encoding="utf-8").splitlines():
            row = json.loads(text)
            if row["when"] == "after":
                rows.setdefault(row["suite"], []).append(row)
        found.append(measurer.of_rows(rows))
    return found


def _fit(cli: RecipeCLI, folder: Path) -> None:
    from unlearnkit.cli.recipe.build_phases import resolved
    from unlearnkit.runs import fit

    fit(
        cli.model,
        cli.datamodule,
        cli.trainer,
        recipe_name=folder.parent.name,
        recipe_text=cli.recipe_text,
        evaluate=cli.suites,
        gold=cli.config.gold,
        seed=cli.config.seed_everything,
        folder=folder,
        resolve=resolved,
        attack=cli.attacks,
        goals=cli.config.goals,
    )
