"""Ends a run once forget rows are extracted like unseen ones."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
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

_Row = tuple[Example, tuple[int, ...]]


class ExtractionStop(NamedCallback, name="extraction_stop"):
    """Stops after an epoch in which forget rows are memorised no more than unseen ones are.

    Extraction likelihood and memorisation accuracy of the unseen rows, under the model that the run
    begins with, are the thresholds; the run ends when both of the forget rows are at or below them.
    The likelihood generates the rest of each response behind each of its beginnings, so it is
    measured where the accuracy, one forward pass, has come to its threshold.

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
        """What was measured of the forget rows after each epoch that was looked at."""
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
            looks = self._looks(trainer, pl_module, self.unseen)
            self.thresholds = {key: look() for key, look in looks.items()}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks, if it is this epoch's turn."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs:
            return
        # Every process measures the same, so that none has to be told.
        values: dict[str, float] = {}
        for key, look in self._looks(trainer, pl_module, self.forget).items():
            values[key] = look()
            if values[key] > self.thresholds[key]:
                break
        self.found.append(values)
        if all(values.get(key, inf) <= most for key, most in self.thresholds.items()):
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

    def _looks(
        self, trainer: L.Trainer, pl_module: Any, name: str
    ) -> dict[str, Callable[[], float]]:
        """What is measured of a stream, the cheaper first."""
        data, policy = datamodule_of(trainer), pl_module.policy
        rows = _rows(data, name)
        return {
            "memorisation": lambda: _memorisation(policy, rows),
            f"EL_{self.ngram}": lambda: _likelihood(policy, data.tokenizer, rows, self.ngram),
        }


def _memorisation(policy: Any, rows: list[_Row]) -> float:
    scores = score(policy, [each for each, _ in rows])
    return exact_memorization(scores.correct, scores.sequence, scores.sequences).nanmean().item()


def _likelihood(policy: Any, tokenizer: Any, rows: list[_Row], n: int) -> float:
    begun = [
        ((*each.prompt_ids, *true[:seen]), true[seen:])
        for each, true in rows
        for seen in range(len(true) - n + 1)
    ]
    with torch.random.fork_rng():
        said = generate(
            policy,
            tokenizer,
            [prompt for prompt, _ in begun],
            max_new_tokens=[len(rest) for _, rest in begun],
        )
    spoken = iter(each.ids for each in said)
    likely = [
        extraction_likelihood([next(spoken) for _ in range(len(true) - n + 1)], true, n)
        for _, true in rows
        if len(true) >= n
    ]
    return sum(likely) / len(likely)


def _rows(data: UnlearningDataModule, name: str) -> list[_Row]:
    """Each row with the tokens of its response but the one that ends it."""
    end = data.tokenizer.eos_token_id
    return [
        (each, each.response_ids[:-1] if each.response_ids[-1] == end else each.response_ids)
        for each in data.data[name].examples()
    ]
