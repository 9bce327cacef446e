"""Ends a run once forget rows are extracted like unseen ones."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

from unlearnkit.callbacks.base import NamedCallback
from unlearnkit.data.datamodule import UnlearningDataModule, datamodule_of
from unlearnkit.data.example import Example
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import RecipeError
from unlearnkit.functional.memorization import exact_memorization, extraction_likelihood


class ExtractionStop(NamedCallback, name="extraction_stop"):
    """Stops after an epoch in which forget rows are memorised no more than unseen ones are.

    Extraction likelihood and memorisation accuracy of the unseen rows, under the model that the run
    begins with, are the thresholds; the run ends when both of the forget rows are at or below them.
    Each look generates the rest of each forget response behind each of its beginnings.

    Args:
        ngram: Length of the n-grams of the extraction likelihood; shorter responses have none.
        every_n_epochs: Epochs between looks.
        forget: Name of the forget stream.
        unseen: Name of a stream of like rows that the model never saw; no objective reads it.

    Raises:
        RecipeError: If ``ngram`` or ``every_n_epochs`` is below 1; from the fit, if there is no
            such stream or all responses of one are shorter than ``ngram`` tokens.

    References:
        Jang et al. 2022, "Knowledge Unlearning for Mitigating Privacy Risks in Language Models",
        arXiv 2210.01504, with ``ngram`` 10 on texts of 200 tokens.
    """

    def __init__(
        self,
        ngram: int = 10,
        every_n_epochs: int = 1,
        forget: str = "forget",
        unseen: str = "unseen",
    ) -> None:
        for key, value in (("ngram", ngram), ("every_n_epochs", every_n_epochs)):
            if value < 1:
                raise RecipeError(f"extraction_stop.{key}: expected at least 1, found {value}")
        self.ngram, self.every_n_epochs = ngram, every_n_epochs
        self.forget, self.unseen = forget, unseen
        self.thresholds: dict[str, float] = {}
        self.found: list[dict[str, float]] = []
        """Both of the forget rows after each epoch that was looked at."""
        self.reason: str | None = None

    @property
    def streams(self) -> tuple[str, ...]:
        """The forget stream and that of unseen rows."""
        return (self.forget, self.unseen)

    def check_streams(self, data: UnlearningDataModule, module: L.LightningModule) -> None:
        """Looks for both streams.

        Raises:
            RecipeError: If a stream is missing or its responses are too short.
        """
        for name in (self.forget, self.unseen):
            if name not in data.data:
                raise RecipeError(
                    f"extraction_stop: no stream is named '{name}'",
                    hint="Add one of rows that the model never saw, with the template of the rest."
                    if name == self.unseen
                    else f"data.streams has: {', '.join(data.data)}.",
                )
            if max(map(len, (true for _, true in _rows(data, name)))) < self.ngram:
                raise RecipeError(
                    f"extraction_stop.ngram: no response of '{name}' has {self.ngram} tokens",
                    hint="Give a smaller ngram.",
                )

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks a fit that nothing else has checked."""
        if stage == "fit":
            self.check_streams(datamodule_of(trainer), pl_module)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures the thresholds, unless a checkpoint has them."""
        if not self.thresholds:
            self.thresholds = self._measured(trainer, pl_module, self.unseen)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks, if it is this epoch's turn."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs:
            return
        # Every process measures the same, so that none has to be told.
        values = self._measured(trainer, pl_module, self.forget)
        self.found.append(values)
        if all(values[key] <= most for key, most in self.thresholds.items()):
            told = ", ".join(
                f"{key} {value:.3f}, at most {self.thresholds[key]:.3f}"
                for key, value in values.items()
            )
            self.reason = f"step {trainer.global_step}: forget rows are as unseen ones: {told}"
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The thresholds and what was found so far."""
        return {"thresholds": self.thresholds, "found": self.found}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.thresholds, self.found = state_dict["thresholds"], state_dict["found"]

    def _measured(self, trainer: L.Trainer, pl_module: Any, name: str) -> dict[str, float]:
        data = datamodule_of(trainer)
        rows, tokenizer = _rows(data, name), data.tokenizer
        begun = [
            ((*each.prompt_ids, *true[:seen]), true[seen:])
            for each, true in rows
            for seen in range(len(true) - self.ngram + 1)
        ]
        with torch.random.fork_rng():
            said = generate(
                pl_module.policy,
                tokenizer,
                [prompt for prompt, _ in begun],
                max_new_tokens=[len(rest) for _, rest in begun],
            )
            scores = score(pl_module.policy, [each for each, _ in rows])
        spoken = iter(each.ids for each in said)
        likely = [
            extraction_likelihood(
                [next(spoken) for _ in range(len(true) - self.ngram + 1)], true, self.ngram
            )
            for _, true in rows
            if len(true) >= self.ngram
        ]
        right = exact_memorization(scores.correct, scores.sequence, scores.sequences)
        return {
            f"EL_{self.ngram}": sum(likely) / len(likely),
            "memorisation": right.nanmean().item(),
        }


def _rows(data: UnlearningDataModule, name: str) -> list[tuple[Example, tuple[int, ...]]]:
    """Each row with the tokens of its response but the one that ends it."""
    end = data.tokenizer.eos_token_id
    return [
        (each, each.response_ids[:-1] if each.response_ids[-1] == end else each.response_ids)
        for each in data.data[name].examples()
    ]
