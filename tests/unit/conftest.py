"""Short runs on small files."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import lightning as L
import pytest
import torch
from short_fits import objective, qa
from stub import save_stub

from unlearnkit import UnlearningDataModule, UnlearningModule, fit


def _file(folder: Path, name: str, rows: list[tuple[str, str]]) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": p, "response": r}) for p, r in rows))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_stub({"random_init": 1}, tmp_path_factory.mktemp("base"))


@pytest.fixture
def start(base, tmp_path):
    """Runs on small files; gives the module and the summary."""
    streams = {
        "forget": _file(tmp_path, "forget", [("a", "cd"), ("b", "ee"), ("c", "da")]),
        "retain": _file(tmp_path, "retain", [("c", "ab"), ("d", "ba"), ("e", "cab")]),
    }

    def run(*callbacks, objectives=None, base=base, tokenizer=None, optimizer=None, ckpt_path=None,
            run_dir=tmp_path / "runs", max_steps=6, measured=None, **arguments):  # fmt: skip
        module = UnlearningModule(
            objectives or {"forget": objective("npo"), "retain": objective("retain_kl")},
            base=str(base),
            optimizer=optimizer or partial(torch.optim.AdamW, lr=1e-2),
            **arguments,
        )
        data = UnlearningDataModule(
            {name: qa(path) for name, path in streams.items()},
            tokenizer=tokenizer or str(base),
            batch_size=1,
        )
        trainer = L.Trainer(
            accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
            max_steps=max_steps, callbacks=list(callbacks),
        )  # fmt: skip
        summary = fit(module, data, trainer, recipe_name="case", run_dir=run_dir,
                      ckpt_path=ckpt_path, **(measured or {}))  # fmt: skip
        return module, summary

    return run
