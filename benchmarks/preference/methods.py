"""Teaches the model, and defines the methods that undo it."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from transformers import TrainerCallback

from benchmarks.preference.data import Row, is_rude, make, write
from benchmarks.preference.watch import Watch
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.mismatch import MismatchStream
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives import NLL, GradientAscent, RandomMismatch, RetainKL
from unlearnkit.runs.export import save_model

BATCH = 8
TEACHING_EPOCHS = 30
QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


@dataclass(frozen=True)
class Task:
    """What all methods start from.

    Args:
        model: The taught model; each method trains a copy.
        tokenizer: Its tokenizer.
        rows: Rows by kind, as `make` gives them.
        files: The same on disk.
        seed: Of data, teaching and training.
    """

    model: Any
    tokenizer: Any
    rows: Mapping[str, list[Row]]
    files: Mapping[str, str]
    seed: int


def taught(seed: int, folder: Path, epochs: int = TEACHING_EPOCHS) -> Task:
    """Teaches the embedded model rude answers to trained prompts, and all plain answers."""
    rows = make(seed)
    files = write(rows, folder)
    model = load_model("tiny")
    objectives: Any = {name: NLL(stream=name) for name in ("forget", "normal", "heldout")}
    streams: Any = {
        "forget": QAStream(files["trained"]),
        "normal": QAStream(files["normal"]),
        "heldout": QAStream(files["heldout"]),
    }
    _fit(model, objectives, streams, 1e-3, seed, max_epochs=epochs)
    # TRL makes its reference anew from where the model says it was loaded.
    tokenizer = load_tokenizer("tiny")
    save_model(model, tokenizer, folder / "model")
    return Task(load_model(str(folder / "model")), tokenizer, rows, files, seed)


def llmu(task: Task, lr: float, max_steps: int, watch: Watch) -> None:
    """Equation 1 of Yao, Xu, Liu (2023), with the weights of the default recipe."""
    objectives: Any = {
        "forget": GradientAscent(weight=0.2),
        "mismatch": RandomMismatch(weight=1.0),
        "retain": RetainKL(weight=16.0),
    }
    streams: Any = {
        "forget": QAStream(task.files["trained"]),
        "mismatch": MismatchStream(prompts="forget", answers="retain", per_prompt=2),
        "retain": QAStream(task.files["normal"]),
    }
    model = copy.deepcopy(task.model)
    stop = _StopWhenReached(watch)
    _fit(model, objectives, streams, lr, task.seed, max_steps=max_steps, callbacks=[stop])


def dpo(task: Task, lr: float, max_steps: int, watch: Watch) -> None:
    """TRL's DPO: rude answers rejected, polite ones chosen."""
    dpo_trainer(task, lr, max_steps, watch).train()


def dpo_trainer(task: Task, lr: float, max_steps: int, watch: Watch) -> Any:
    """The trainer of `dpo`."""
    from trl import DPOConfig, DPOTrainer

    pairs = zip(task.rows["trained"], task.rows["chosen"], strict=True)
    rows = [
        {"prompt": bad["prompt"], "chosen": good["response"], "rejected": bad["response"]}
        for bad, good in pairs
    ]
    arguments = DPOConfig(**_arguments(task, lr, max_steps), beta=0.1)
    return _trainer(DPOTrainer, task, arguments, rows, watch)


def grpo(task: Task, lr: float, max_steps: int, watch: Watch) -> None:
    """TRL's GRPO: eight samples to each of the batch's prompts, judged by the rule."""
    grpo_trainer(task, lr, max_steps, watch).train()


def grpo_trainer(task: Task, lr: float, max_steps: int, watch: Watch) -> Any:
    """The trainer of `grpo`."""
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [0.0 if is_rude(text) else 1.0 for text in completions]

    arguments = GRPOConfig(
        **(_arguments(task, lr, max_steps) | {"per_device_train_batch_size": 8 * BATCH}),
        num_generations=8,
        max_completion_length=24,
        beta=0.04,
    )
    rows = [{"prompt": row["prompt"]} for row in task.rows["trained"]]
    return _trainer(GRPOTrainer, task, arguments, rows, watch, reward_funcs=reward)


METHODS: dict[str, Callable[[Task, float, int, Watch], None]] = {
    "llmu": llmu,
    "dpo": dpo,
    "grpo": grpo,
}


class _StopWhenReached(L.Callback):
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.watch.begin()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        if self.watch.after_step(pl_module.policy):
            trainer.should_stop = True


class _StopTRL(TrainerCallback):
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.watch.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.watch.after_step(given["model"]):
            control.should_training_stop = True


def _fit(
    model: Any, objectives: Any, streams: Any, lr: float, seed: int, **limits: Any
) -> UnlearningModule:
    L.seed_everything(seed, workers=True, verbose=False)
    optimizer: Any = partial(torch.optim.AdamW, lr=lr, weight_decay=0.0)
    module = UnlearningModule(objectives, optimizer=optimizer, schedule="constant")
    module.use_model(model)
    data = UnlearningDataModule(streams, batch_size=BATCH, seed=seed)
    L.Trainer(**QUIET, **({"max_epochs": -1} | limits)).fit(module, datamodule=data)
    return module


def _arguments(task: Task, lr: float, max_steps: int) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": BATCH,
        "learning_rate": lr,
        "lr_scheduler_type": "constant",
        "max_steps": max_steps,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "seed": task.seed,
    }


def _trainer(
    kind: Any, task: Task, arguments: Any, rows: list[Row], watch: Watch, **more: Any
) -> Any:
    from datasets import Dataset

    return kind(
        model=copy.deepcopy(task.model),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=task.tokenizer,
        callbacks=[_StopTRL(watch)],
        **more,
    )
