"""Continues a run in phases after an interruption."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.families import named
from unlearnkit.models.digests import refuse_changed
from unlearnkit.plain import leaves, load_yaml
from unlearnkit.runs.checkpoints import newest_checkpoint
from unlearnkit.runs.phases.yaml_text import without_secrets
from unlearnkit.runs.resume.changes import Resolve, compare
from unlearnkit.runs.resume.record import MadeWith

logger = logging.getLogger(__name__)

_MOST_SHOWN = 12
_AGAIN = "+"
"""Stands in no phase's name, but in the folder of one that was interrupted and run again."""


@dataclass(frozen=True)
class Unfinished:
    """A run to continue; without a folder, none.

    Args:
        folder: Its run folder.
        ckpt_path: The checkpoint to continue from, or None for the newest of the phase.
        resolve: Makes recipes of earlier versions comparable with those of this one.
    """

    folder: Path | None = None
    ckpt_path: Path | None = None
    resolve: Resolve = named

    def finished(
        self, phase: str, recipe: str, made_with: Callable[[], MadeWith | None] = lambda: None
    ) -> Path | None:
        """The folder of a phase that is finished, or None.

        Args:
            phase: Its name.
            recipe: Its recipe.
            made_with: Gives what it would be made with now.

        Raises:
            RecipeError: If it was made by another recipe, other data, model or own code, or the
                model that it made has been changed.
        """
        for inside in reversed(self._folders(phase)):
            if not (inside / "summary.json").is_file():
                continue
            differences = self._differences(inside / "recipe.yaml", recipe)
            if differences:
                raise RecipeError(
                    f"phase '{phase}' is finished in {inside}, by another recipe: "
                    f"{', '.join(differences)}",
                    hint="Resume with the recipe that made it, or start afresh without --ckpt_path."
                    " Phases that are not finished may be changed.",
                )
            refuse_changed(inside / "model")
            if (now := made_with()) is not None:
                self._refuse_other(phase, inside, now)
            return inside
        return None

    def _refuse_other(self, phase: str, inside: Path, now: MadeWith) -> None:
        """Refuses data, a model or own code that are not those of a finished phase."""
        then = MadeWith.in_environment(inside / "environment.json", now)
        if then is None:
            return
        changes = compare(then, replace(now, settings={}), self.resolve)
        if changes.refused:
            listed = "\n".join(f"  {each}" for each in changes.refused[:_MOST_SHOWN])
            raise RecipeError(
                f"phase '{phase}' is finished in {inside}, with other data, model or code:\n"
                f"{listed}",
                hint="Resume with what it was made with, or start afresh without --ckpt_path.",
            )
        for change in (*changes.versions, *changes.parts):
            logger.warning("phase '%s' was finished with another version: %s", phase, change)

    def checkpoint(self, phase: str, recipe: str) -> str | None:
        """The checkpoint that a phase continues from, if it left one by the same recipe.

        A checkpoint holds the optimizer too, learning rate included, so a changed recipe would
        have little effect. A checkpoint given by its path is taken anyway.
        """
        folders = self._folders(phase)
        if self.ckpt_path is not None and set(folders) & set(self.ckpt_path.parents):
            return str(self.ckpt_path)
        for inside in reversed(folders):
            file = inside / "recipe.yaml"
            if not file.is_file() or self._differences(file, recipe):
                continue
            try:
                return str(newest_checkpoint(inside))
            except UserError:
                continue
        return None

    def _differences(self, file: Path, recipe: str) -> list[str]:
        """Keys in which a stored recipe differs from another one, the first five."""
        theirs, recipe = file.read_text(encoding="utf-8"), without_secrets(recipe)
        if theirs == recipe:
            return []
        old = dict(leaves(self.resolve(load_yaml(theirs) or {})))
        new = dict(leaves(load_yaml(recipe)))
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        return [f"{key} {old.get(key)!r} is now {new.get(key)!r}" for key in keys[:5]]

    def _folders(self, phase: str) -> list[Path]:
        """Folders of a phase, the newest last."""
        if self.folder is None:
            return []
        found = [each for each in self.folder.iterdir() if _turn(each.name, phase)]
        return sorted(found, key=lambda each: _turn(each.name, phase))


def unfinished_run(runs: Path, ckpt_path: str, resolve: Resolve = named) -> Unfinished:
    """The run in phases that ``--ckpt_path`` names.

    Args:
        runs: Folder of the recipe's run folders.
        ckpt_path: ``last``, or a checkpoint in one of them.
        resolve: See `Unfinished`.

    Raises:
        UserError: If there is none that is unfinished.
    """
    if ckpt_path == "last":
        found = sorted(
            each.parent for each in runs.glob("*/recipe.yaml") if _is_phased(each.parent)
        )
        if not found:
            raise UserError(f"no run to resume below {runs}", hint="Start one without --ckpt_path.")
        folder, checkpoint = found[-1], None
    else:
        checkpoint = Path(ckpt_path)
        if not checkpoint.exists():
            raise RecipeError(f"--ckpt_path: there is no file {ckpt_path}")
        inside = (each for each in checkpoint.parents if _is_phased(each))
        folder = next(inside, None)
        if folder is None:
            raise RecipeError(
                f"--ckpt_path: {ckpt_path} is not in the run folder of a recipe with phases",
                hint="Give a checkpoint of this recipe's own, or --ckpt_path last.",
            )
    refuse_finished(folder)
    return Unfinished(folder, checkpoint, resolve)


def refuse_finished(folder: Path) -> None:
    """Refuses to continue a run that is finished.

    Raises:
        UserError: If it is.
    """
    if (folder / "summary.json").is_file():
        raise UserError(
            f"the run {folder} is finished; nothing is left to resume",
            hint="Start another one without --ckpt_path.",
        )


def next_folder(run: Path, phase: str) -> Path:
    """Where a phase is run: its name, or with a number where a run of it was interrupted."""
    names = [phase, *(f"{phase}{_AGAIN}{n}" for n in range(2, 100))]
    return next(run / name for name in names if not (run / name).exists())


def _turn(name: str, phase: str) -> int:
    """Which run of the phase a folder holds, or 0 if it is of another phase."""
    of, again, number = name.partition(_AGAIN)
    return 0 if of != phase else int(number) if again else 1


def _is_phased(folder: Path) -> bool:
    file = folder / "recipe.yaml"
    return file.is_file() and "phases" in (load_yaml(file.read_text(encoding="utf-8")) or {})
