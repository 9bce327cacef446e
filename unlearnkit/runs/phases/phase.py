"""A phase of a run, and the training phase."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.engine.reference.other import OtherModel
from unlearnkit.families import named
from unlearnkit.models.base import BaseModel
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.fit import fit
from unlearnkit.runs.phases.yaml_text import dump_yaml
from unlearnkit.runs.preflight import Planned, preflight
from unlearnkit.runs.resume.changes import Resolve
from unlearnkit.runs.resume.record import MadeWith
from unlearnkit.runs.start import Start
from unlearnkit.suites.base import Suite

Base = str | BaseModel


class Phase(ABC):
    """One step of a run: a training, or an edit of weights.

    Args:
        name: Its folder in the run folder.
        recipe: Its own recipe in full, kept in its folder; ``model.base`` is filled in.
    """

    trains: bool
    """Whether every process takes part; an edit is made by the first one alone."""

    def __init__(self, name: str, recipe: Mapping[str, Any]) -> None:
        self.name, self.recipe = name, recipe

    def text(self, base: Base) -> str:
        """The recipe, starting from a model."""
        return recipe_text(self.recipe, base)

    @property
    def refers(self) -> str | None:
        """The earlier phase whose model it needs beside that of the one before."""
        return None

    def made_with(self, base: Base) -> MadeWith | None:
        """Fingerprints of what it reads and of the code that runs; none of an edit.

        Args:
            base: The model to start from.
        """
        return None

    @abstractmethod
    def check(self) -> None:
        """Checks all that can be checked without weights.

        Raises:
            UserError: With what is wrong.
        """

    @abstractmethod
    def run(self, base: Base, folder: Path, ckpt_path: str | None = None) -> Path:
        """Makes a run folder, which ends with ``summary.json`` and ``model/`` in it.

        Args:
            base: The model to start from.
            folder: The folder to make.
            ckpt_path: A checkpoint that an interrupted run of this phase left.

        Returns:
            The folder.
        """


class Training(Phase):
    """A phase that is a recipe; it can be run once.

    Args:
        name: Its folder in the run folder.
        recipe: Its recipe in full, with every default.
        module: Objectives and model.
        data: Streams.
        trainer: Lightning's trainer.
        evaluate: Suites to run before and after.
        gold: A model that never saw the forget set.
        seed: Seed of the phase.
        on_start: Called when the model is built; see `fit`.
        resume_with_changes: Go on from a checkpoint of another recipe or data; see `fit`.
        resolve: Makes recipes of earlier versions comparable.
    """

    trains = True

    def __init__(
        self,
        name: str,
        recipe: Mapping[str, Any],
        module: UnlearningModule,
        data: UnlearningDataModule,
        trainer: L.Trainer,
        evaluate: Sequence[Suite] = (),
        gold: str | None = None,
        seed: int = 0,
        on_start: Callable[[Start], None] = lambda start: None,
        resume_with_changes: bool = False,
        resolve: Resolve = named,
    ) -> None:
        super().__init__(name, recipe)
        self.module, self.data, self.trainer = module, data, trainer
        self.evaluate, self.gold, self.seed = evaluate, gold, seed
        self.on_start, self.resolve = on_start, resolve
        self.resume_with_changes = resume_with_changes

    @property
    def refers(self) -> str | None:
        """The phase that ``model.reference: {phase: NAME}`` names."""
        return self.module.other and self.module.other.phase

    def takes(self, models: Mapping[str, Base]) -> None:
        """Takes the model that it refers to as the reference, of those of the phases before."""
        if self.refers is not None:
            model = models[self.refers]
            self.module.other = OtherModel(path=model if isinstance(model, str) else model.path)

    def made_with(self, base: Base) -> MadeWith:
        """Fingerprints of streams, model, tokenizer and code; the data have been checked."""
        self.module.base = base
        return MadeWith.of(Planned(*self._planned), recipe="", steps=None)

    @property
    def _planned(self) -> tuple[Any, ...]:
        return self.module, self.data, self.trainer, self.evaluate, self.gold, self.seed

    def check(self) -> None:
        """Checks it as `fit` does."""
        other = self.module.other
        if self.refers:  # a model that is still to be made, of the tokens of this run
            self.module.other = None
        preflight(Planned(*self._planned))
        self.module.other = other

    def run(self, base: Base, folder: Path, ckpt_path: str | None = None) -> Path:
        """Trains; the objectives' reference is the model that the phase starts from."""
        self.module.base = base
        fit(
            self.module,
            self.data,
            self.trainer,
            recipe_name=self.name,
            recipe_text=self.text(base),
            evaluate=self.evaluate,
            gold=self.gold,
            seed=self.seed,
            ckpt_path=ckpt_path,
            resume_with_changes=self.resume_with_changes,
            resolve=self.resolve,
            folder=folder,
            on_start=self.on_start,
        )
        # The next phase loads a model of its own.
        del self.module, self.trainer
        gc.collect()
        return folder


def started_from(base: Base, folder: Path) -> BaseModel:
    """The model of a run folder, to be loaded as the one that it started from was."""
    given = BaseModel(base) if isinstance(base, str) else base
    return BaseModel(
        str((folder / "model").absolute()),
        dtype=given.dtype,
        trust_remote_code=given.trust_remote_code,
        attn_implementation=given.attn_implementation,
    )


def recipe_text(recipe: Mapping[str, Any], base: Base) -> str:
    """A recipe as YAML, starting from a model."""
    tree = {**recipe, "model": with_base(recipe.get("model", {}), base)}
    return dump_yaml(tree)


def with_base(section: Mapping[str, Any], base: Base) -> dict[str, Any]:
    """A section of a recipe with the key ``base``."""
    if isinstance(base, str):
        return {**section, "base": base}
    given = {key: value for key, value in asdict(base).items() if value is not None}
    return {**section, "base": given}
