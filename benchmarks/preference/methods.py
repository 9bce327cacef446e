"""The methods that undo the teaching, with settings and labels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L

from benchmarks.preference import trl_methods
from benchmarks.preference.task import Task, fit
from benchmarks.preference.watch import Watch
from unlearnkit.data.streams.mismatch import MismatchStream
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.objectives import GradientAscent, RandomMismatch, RetainKL


@dataclass(frozen=True)
class Method:
    """How a method is run and named.

    Args:
        title: In the table.
        train: Trains a copy of the task's model, with a learning rate, at most so many steps, and
            a watch that ends it.
        labels: Kinds of answers to trained prompts that are needed: ``rude`` and ``polite`` ones
            to the same prompts, and ``plain`` ones to others.
        rewarded: Whether it needs a reward model.
    """

    title: str
    train: Callable[..., None]
    labels: tuple[str, ...]
    rewarded: bool = False


def llmu(task: Task, lr: float, max_steps: int, watch: Watch) -> None:
    """Equation 1 of Yao, Xu, Liu (2023), with the weights of the model's recipe."""
    ascent, random, kept = task.setting.weights
    objectives: Any = {
        "forget": GradientAscent(weight=ascent),
        "mismatch": RandomMismatch(weight=random),
        "retain": RetainKL(weight=kept),
    }
    streams: Any = {
        "forget": QAStream(task.files["rude/trained"]),
        "mismatch": MismatchStream(prompts="forget", answers="retain", per_prompt=2),
        "retain": QAStream(task.files["plain/trained"]),
    }
    model = copy.deepcopy(task.model)
    stop = _StopWhenReached(watch)
    limits: Any = {"max_steps": max_steps, "callbacks": [stop]}
    given = (model, task.tokenizer, objectives, streams)
    fit(*given, lr, task.seed, lora=task.setting.lora(), **limits)


METHODS: Mapping[str, Method] = {
    "llmu": Method("LLMU", llmu, ("rude", "plain")),
    "sft": Method("SFT", trl_methods.sft, ("polite", "plain")),
    "dpo": Method("DPO with SFT term", trl_methods.dpo, ("rude", "polite", "plain")),
    "rloo": Method(
        "RLOO, reward model",
        trl_methods.rloo,
        ("rude", "polite", "plain"),
        rewarded=True,
    ),
    "grpo": Method(
        "GRPO, reward model",
        trl_methods.grpo,
        ("rude", "polite", "plain"),
        rewarded=True,
    ),
}


class _StopWhenReached(L.Callback):
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.watch.begin()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        if self.watch.after_step(pl_module.policy):
            trainer.should_stop = True
