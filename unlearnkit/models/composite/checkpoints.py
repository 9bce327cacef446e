"""Keeps the best of the checkpoints that an O3 encoder passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.models.composite.detector import Detector, fit_detector
from unlearnkit.models.composite.encoder import pooled

RULES = ("gate", "published")
OPEN = 0.5
BATCH = 32


@dataclass
class Checkpoints:
    """The best encoder of those measured so far; of equals it is the first.

    Args:
        tokenizer: Reads the texts.
        layers: Hidden states that the detector scores.
        seen: Prompts of the request, which the encoder learns and the detector is fitted on.
        held: Prompts of the request that neither sees.
        others: Prompts of other subjects.
        rule: Which of the accuracies of `accuracies` decides.
    """

    tokenizer: Any
    layers: int
    seen: Sequence[str]
    held: Sequence[str]
    others: Sequence[str]
    rule: str
    found: list[dict[str, float]] = field(default_factory=list)
    """Accuracies before the training and after each pass."""
    kept: int = -1
    """Passes of the best one."""
    _weights: dict[str, Tensor] = field(default_factory=dict)

    def measure(self, model: nn.Module) -> None:
        """Fits a detector with the encoder as it is, and keeps its weights if it is better."""
        texts = (self.seen, self.held, self.others)
        seen, held, others = (self._features(model, each) for each in texts)
        self.found.append(accuracies(fit_detector(seen, "o3", heldout=held), seen, held, others))
        best = self.found[self.kept][self.rule] if self.kept >= 0 else -1.0
        if self.found[-1][self.rule] > best:
            self.kept = len(self.found) - 1
            self._weights = {
                name: each.detach().clone()
                for name, each in model.named_parameters()
                if each.requires_grad
            }

    def restore(self, model: nn.Module) -> None:
        """Gives the encoder the weights of the best checkpoint."""
        model.load_state_dict(self._weights, strict=False)

    @torch.no_grad()
    def _features(self, model: Any, texts: Sequence[str]) -> Tensor:
        training = model.training
        model.eval()
        found: list[Tensor] = []
        for first in range(0, len(texts), BATCH):
            rows = list(texts[first : first + BATCH])
            given = self.tokenizer(rows, padding=True, truncation=True, return_tensors="pt")
            seen = given["attention_mask"]
            output = model(
                input_ids=given["input_ids"], attention_mask=seen, output_hidden_states=True
            )
            found.append(pooled(torch.stack(output.hidden_states[: self.layers], dim=1), seen))
        model.train(training)
        return torch.cat(found)


def accuracies(detector: Detector, seen: Tensor, held: Tensor, others: Tensor) -> dict[str, float]:
    """How well a detector tells prompts of a request from others.

    Args:
        detector: Fitted on ``seen``.
        seen: ``[K, L, H]`` features of the request's prompts.
        held: ``[J, L, H]`` features of more of them.
        others: ``[M, L, H]`` features of prompts on other subjects.

    Returns:
        ``gate``: mean of the share of held-out prompts that open the gate, and of others that do
        not. ``published``: share of all of these that the authors' code has right, to which a
        prompt is another's unless its decision is above all those of the seen ones.
    """
    opened = [(detector(each) >= OPEN).float().mean().item() for each in (held, others)]
    most = detector.decision(seen).max()
    right = (detector.decision(held) > most).sum() + (detector.decision(others) <= most).sum()
    return {
        "gate": (opened[0] + 1 - opened[1]) / 2,
        "published": right.item() / (len(held) + len(others)),
    }
