"""The taught model that all methods start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch

from benchmarks.preference.data import Row, make, write
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives import NLL
from unlearnkit.runs.export import save_model

BATCH = 8
TEACHING_EPOCHS = 10
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
        rows: Rows by kind and part, as `make` gives them.
        files: The same on disk.
        seed: Of data, teaching and training.
        folder: Where the model is on disk.
    """

    model: Any
    tokenizer: Any
    rows: Mapping[str, list[Row]]
    files: Mapping[str, str]
    seed: int
    folder: Path


def taught(seed: int, folder: Path, epochs: int = TEACHING_EPOCHS) -> Task:
    """Teaches the embedded model rude and polite answers to trained prompts, and all plain ones."""
    folder.mkdir(exist_ok=True)
    rows = make(seed)
    files = write(rows, folder)
    model = load_model("tiny")
    kinds = {"forget": "mixture", "normal": "plain/trained"}
    kinds |= {part: f"plain/{part}" for part in ("choosing", "reported")}
    objectives: Any = {name: NLL(stream=name) for name in kinds}
    streams: Any = {name: QAStream(files[kind]) for name, kind in kinds.items()}
    fit(model, objectives, streams, 1e-3, seed, max_epochs=epochs)
    tokenizer = load_tokenizer("tiny")
    save_model(model, tokenizer, folder / "model")
    # TRL makes its reference anew from where the model says it was loaded.
    loaded = load_model(str(folder / "model"))
    return Task(loaded, tokenizer, rows, files, seed, folder / "model")


def fit(
    model: Any, objectives: Any, streams: Any, lr: float, seed: int, **limits: Any
) -> UnlearningModule:
    """Trains a model in place, with AdamW at a constant rate."""
    L.seed_everything(seed, workers=True, verbose=False)
    optimizer: Any = partial(torch.optim.AdamW, lr=lr, weight_decay=0.0)
    module = UnlearningModule(objectives, optimizer=optimizer, schedule="constant")
    module.use_model(model)
    data = UnlearningDataModule(streams, batch_size=BATCH, seed=seed)
    L.Trainer(**QUIET, **({"max_epochs": -1} | limits)).fit(module, datamodule=data)
    return module
