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
from benchmarks.preference.settings import Setting
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives import NLL
from unlearnkit.runs.export import save_model

BATCH = 8
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
        setting: What model it is, and how much of what it is given.
    """

    model: Any
    tokenizer: Any
    rows: Mapping[str, list[Row]]
    files: Mapping[str, str]
    seed: int
    folder: Path
    setting: Setting


def taught(setting: Setting, seed: int, folder: Path) -> Task:
    """Teaches a model rude and polite answers to trained prompts, and all plain ones.

    A model that the folder holds already is not taught again.
    """
    folder.mkdir(exist_ok=True, parents=True)
    rows = make(seed, setting.verbs, setting.questions)
    files = write(rows, folder)
    target = folder / "model"
    tokenizer = load_tokenizer(setting.base)
    if setting.pad is not None:
        tokenizer.pad_token = setting.pad
    if not target.is_dir():
        model = _teach(setting, seed, files, tokenizer)
        model.config.pad_token_id = tokenizer.pad_token_id
        save_model(model, tokenizer, target)
    # TRL makes its reference anew from where the model says it was loaded.
    loaded = load_model(str(target))
    return Task(loaded, tokenizer, rows, files, seed, target, setting)


def _teach(setting: Setting, seed: int, files: Mapping[str, str], tokenizer: Any) -> Any:
    kinds = {"forget": "mixture", "normal": "plain/trained"}
    kinds |= {part: f"plain/{part}" for part in ("choosing", "reported")}
    objectives: Any = {name: NLL(stream=name) for name in kinds}
    streams: Any = {name: QAStream(files[kind]) for name, kind in kinds.items()}
    limits: Any = {"max_epochs": setting.teaching}
    model = load_model(setting.base)
    adapter = setting.lora()
    found = fit(model, tokenizer, objectives, streams, 1e-3, seed, lora=adapter, **limits)
    policy: Any = found.policy
    return policy if setting.adapter is None else policy.merge_and_unload()


def fit(
    model: Any,
    tokenizer: Any,
    objectives: Any,
    streams: Any,
    lr: float,
    seed: int,
    *,
    lora: Any = None,
    **limits: Any,
) -> UnlearningModule:
    """Trains a model in place, or an adapter on it, with AdamW at a constant rate."""
    L.seed_everything(seed, workers=True, verbose=False)
    optimizer: Any = partial(torch.optim.AdamW, lr=lr, weight_decay=0.0)
    module = UnlearningModule(objectives, lora=lora, optimizer=optimizer, schedule="constant")
    module.use_model(model)
    data = UnlearningDataModule(streams, tokenizer, batch_size=BATCH, seed=seed)
    L.Trainer(**QUIET, **({"max_epochs": -1} | limits)).fit(module, datamodule=data)
    return module
