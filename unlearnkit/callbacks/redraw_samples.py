"""Draws the answers of sampled streams anew while the model trains."""

from __future__ import annotations

from typing import Any

import lightning as L

from unlearnkit.callbacks.base import NamedCallback
from unlearnkit.data.datamodule import UnlearningDataModule, datamodule_of
from unlearnkit.data.samples import SampledAnswer
from unlearnkit.data.streams.sampled import SampledData
from unlearnkit.engine.generation.sampling import redrawn
from unlearnkit.engine.step.step_metrics import ends_step
from unlearnkit.errors import RecipeError

Kept = dict[str, list[tuple[list[int], list[tuple[str, list[int], bool]]]]]


class RedrawSamples(NamedCallback, name="redraw_samples"):
    """Has the model that trains answer the prompts of ``sampled`` streams anew every few steps.

    The first answers are the starting model's, as without it. Later ones are kept in checkpoints,
    so that a resumed run is that of one that was not interrupted.

    Args:
        steps: Optimiser steps between draws.

    Raises:
        RecipeError: If ``steps`` is below 1; from the fit, if there is no stream whose answers the
            run samples, reference values are kept on disk, or rows are read in other processes.

    References:
        Duan et al. 2024, arXiv 2403.03419 (D2O, whose samples are the present model's).
    """

    acts_after = "steps"

    def __init__(self, steps: int = 20) -> None:
        if steps < 1:
            raise RecipeError(f"redraw_samples.steps: expected at least 1, found {steps}")
        self.steps = steps
        self._last = 0
        self._kept: Kept = {}

    def check_streams(self, data: UnlearningDataModule, module: L.LightningModule) -> None:
        """Refuses a run in which new answers would not be seen.

        Raises:
            RecipeError: With what is in the way.
        """
        if not _streams(data):
            raise RecipeError(
                "redraw_samples: no stream is `sampled` without a path, so nothing is drawn",
                hint="Add {name: sampled, prompts: forget}.",
            )
        if getattr(module, "reference_kind", None) == "cached":
            raise RecipeError(
                "model.reference: cached values would be those of the first answers",
                hint="Set model.reference: frozen, or leave it out.",
            )
        if data.num_workers:
            raise RecipeError(
                f"data.num_workers: expected 0, found {data.num_workers}: other processes would "
                "read the first answers on"
            )

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks a fit that nothing else has checked."""
        if stage == "fit":
            self.check_streams(datamodule_of(trainer), pl_module)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the answers of a checkpoint."""
        self._last = trainer.global_step
        for name, rows in self._kept.items():
            answers = {
                tuple(prompt): [SampledAnswer(text, tuple(ids), end) for text, ids, end in given]
                for prompt, given in rows
            }
            _streams(datamodule_of(trainer))[name].answer_anew(answers)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Draws, if it is this step's turn."""
        step = trainer.global_step
        if step == self._last or step % self.steps or not ends_step(trainer):
            return
        self._last = step
        for name, data in _streams(datamodule_of(trainer)).items():
            # Every process draws the same, so that none has to be told.
            answers = redrawn(pl_module.policy, data, step)  # pyright: ignore
            data.answer_anew(answers)
            self._kept[name] = [
                (list(prompt), [(a.text, list(a.ids), a.ended) for a in given])
                for prompt, given in answers.items()
            ]

    def state_dict(self) -> dict[str, Any]:
        """The answers that the streams have now, if they are not the first ones."""
        return {"kept": self._kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._kept = state_dict["kept"]


def _streams(data: UnlearningDataModule) -> dict[str, SampledData]:
    return {name: each for name, each in data.data.items() if isinstance(each, SampledData)}
