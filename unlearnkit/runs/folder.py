"""The run folder: made once, never overwritten, readable without us."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from unlearnkit.errors import UserError
from unlearnkit.families import named
from unlearnkit.models.base import model_of_run
from unlearnkit.plain import load_yaml
from unlearnkit.redact import refuse_control_characters

logger = logging.getLogger(__name__)
Suites = dict[str, dict[str, dict[str, float | None]]]
Notes = dict[str, dict[str, list[str]]]


@dataclass
class RunSummary:
    """What a run found; ``summary.json`` without folder, samples and report.

    ``suites`` holds values as ``suites[suite]["before" | "after" | "gold"][metric]``, None if
    there was nothing to measure; ``metrics[suite][metric]`` role, direction and headline of each;
    ``notes``, in the form of ``suites``, what was cut or left out.
    """

    recipe: str
    seed: int
    steps: int
    stopped_by: str | None
    folder: Path
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    suites: Suites = field(default_factory=dict)
    metrics: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    notes: Notes = field(default_factory=dict)
    cut: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What `data.max_length` takes away, by stream: rows (or pairs) and tokens, of how many."""
    samples: list[Sample] = field(default_factory=list)
    generation: dict[str, str] = field(default_factory=dict)
    """What generated the texts of the suites: backend, package and version."""
    phases: list[dict[str, Any]] = field(default_factory=list)
    """Of a run in phases: name, folder, steps, seconds and stopped_by of each."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Of a run of requests: metrics of all of them before the first and after each."""
    conclusion: dict[str, Any] = field(default_factory=dict)
    """``verdict``, and ``goals`` where the recipe has some."""
    report: Path | None = None

    def __str__(self) -> str:
        said = [self.verdict] if self.verdict else []
        return "\n".join([f"{self.recipe}, seed {self.seed}: {self.steps} steps", *said,
                          f"folder: {self.folder}"])  # fmt: skip

    @property
    def verdict(self) -> str:
        """The verdict in one sentence; empty where nothing was measured."""
        return self.conclusion.get("verdict", {}).get("sentence", "")

    def as_json(self) -> dict[str, Any]:
        """The public keys, as JSON types."""
        keys = ["recipe", "seed", "steps", "stopped_by", "seconds", "peak_memory_mb", "suites"]
        found = {key: getattr(self, key) for key in keys}
        found |= {
            key: value
            for key in ("metrics", "notes", "cut", "generation")
            if (value := getattr(self, key))
        }
        found |= self.conclusion
        if self.phases:
            found |= {"model": f"{self.phases[-1]['folder']}/model", "phases": self.phases}
        return found | ({"requests": self.requests} if self.requests else {})


@dataclass(frozen=True)
class Sample:
    """One prompt with its true continuation and what the model said before and after."""

    prompt: str
    reference: str
    before: str
    after: str


@dataclass(frozen=True)
class Run:
    """A finished run on disk."""

    folder: Path
    recipe: dict[str, Any]
    """As it was run, with classes by their names, whatever version wrote it."""
    summary: dict[str, Any]

    @property
    def model(self) -> Path:
        """Folder of the unlearned model, or of its adapter; of phases, the last one's."""
        return self.folder / self.summary.get("model", "model")

    def intervals(self) -> dict[str, Any]:
        """``intervals.json``; nothing if it is missing or broken."""
        with suppress(OSError, ValueError):
            text = (self.folder / "intervals.json").read_text(encoding="utf-8")
            return as_mapping(json.loads(text))
        return {}

    @property
    def recipe_file(self) -> Path:
        """The recipe that the model was trained by; of phases, the last one that trained."""
        trained = [each["folder"] for each in self.summary.get("phases", []) if each["trained"]]
        return self.folder / (trained[-1] if trained else "") / "recipe.yaml"

    @property
    def base(self) -> Any:
        """The model that the run started from, as its recipe gives it."""
        return self.recipe.get("model", {}).get("base", "tiny")


def new_folder(run_dir: str | Path, recipe: str) -> Path:
    """Makes ``<run_dir>/<recipe>/<timestamp>``; a second run in the same second gets a suffix.

    Raises:
        UserError: If it cannot be made or written to.
    """
    refuse_control_characters(str(run_dir), "run_dir")
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    parent = Path(run_dir) / recipe
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"_{n}" for n in range(2, 100))):
            folder = parent / f"{stamp}{suffix}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise UserError(
            f"run_dir: cannot write to {parent}: {error.strerror}",
            hint="Give another folder with --run_dir.",
        ) from error
    raise UserError(f"run_dir: {parent} holds a hundred runs of this second")


def make_folder(folder: Path) -> Path:
    """Makes a run folder of a given name.

    Raises:
        UserError: If it exists or cannot be made.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


@contextmanager
def owned_folders() -> Iterator[Callable[[Path], None]]:
    """Gives a function that takes a run folder for this process, until the block ends.

    The lock goes with its process, however that ends. Where the file system has none it is not
    taken.

    Raises:
        UserError: From that function, if another process writes to the folder.
    """
    with ExitStack() as held:

        def take(folder: Path) -> None:
            try:
                held.enter_context(FileLock(folder / ".lock", timeout=0))
            except Timeout:
                raise UserError(
                    f"another process is writing to {folder}",
                    hint="Wait until it has ended; what it has done by then stays.",
                ) from None
            except (OSError, NotImplementedError):
                logger.debug("%s cannot be locked", folder, exc_info=True)

        yield take


def load_run(folder: str | Path) -> Run:
    """A finished run.

    Raises:
        UserError: If the folder is not one, the run did not finish, or its files are broken.
    """
    refuse_control_characters(str(folder), "run folder")
    path = Path(folder)
    missing = [name for name in ("recipe.yaml", "summary.json") if not (path / name).exists()]
    if not missing and model_of_run(path) is None:
        missing = ["model"]
    if missing:
        what = "there is no such folder" if not path.is_dir() else f"it lacks {', '.join(missing)}"
        below = sorted(path.glob("[0-9]*/summary.json"))  # timestamps sort as they are
        raise UserError(
            f"{path} is not a finished run: {what}",
            hint=f"Its newest run is {below[-1].parent}."
            if below
            else "Give a folder runs/<recipe>/<timestamp> that `unlearnkit fit` wrote. compare, "
            "report and check take any other model too, once `unlearnkit evaluate` measured it.",
        )
    # Empty where `fit` was called by a program, without a recipe.
    recipe = _read(path / "recipe.yaml", load_yaml)
    summary = _read(path / "summary.json", json.loads)
    if wrong := _fault_of(summary):
        raise UserError(
            f"{path / 'summary.json'}: {wrong}", hint="It is no longer what `fit` wrote."
        )
    return Run(path, named(recipe), summary)


def as_mapping(value: Any) -> dict[str, Any]:
    """The value, if it is a mapping.

    Raises:
        ValueError: If it is not.

    Example:
        >>> as_mapping({"a": 1})
        {'a': 1}
    """
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping, found {type(value).__name__}")
    return value


def _read(file: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        return as_mapping(parse(file.read_text(encoding="utf-8")) or {})
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def _fault_of(summary: dict[str, Any]) -> str | None:
    """What keeps a summary from being used; keys that are only shown may be missing."""
    if missing := [key for key in ("recipe", "seed", "suites") if key not in summary]:
        return f"it has no {', '.join(missing)}"
    if not isinstance(summary["suites"], dict):
        return "suites: expected a mapping"
    phases = summary.get("phases", [])
    if not isinstance(phases, list):
        return "phases: expected a list"
    for number, phase in enumerate(phases, 1):
        if not isinstance(phase, dict) or not {"name", "folder", "trained"} <= phase.keys():
            return f"phases: expected name, folder and trained of phase {number}"
        # It is looked for in the run folder, and nowhere else.
        if Path(str(phase["folder"])).name != phase["folder"]:
            return f"phases: expected the name of a folder, found {phase['folder']!r}"
    return None
