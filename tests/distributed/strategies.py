"""One fit by one strategy, on one or two processes; run by the tests on each rank.

Its arguments: OUT FOLDER OPTIONS, with the options as JSON.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import lightning as L
import torch
from peft import LoraConfig
from short_fits import Recorder, objective, qa, stub_data
from stub import stub_model
from torch.distributed.tensor import DTensor

from unlearnkit import UnlearningModule
from unlearnkit.data.streams.base import Stream
from unlearnkit.engine.reference import cached
from unlearnkit.engine.training.fsdp2 import FSDP2Strategy, is_sharded, whole_state
from unlearnkit.runs.checkpoints import point_checkpoints_at


class SaveAt(L.Callback):
    """Saves after a micro-batch."""

    def __init__(self, path: str | None, after: int) -> None:
        self.path, self.after = path, after

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.after -= 1
        if self.path and self.after == 0:
            trainer.save_checkpoint(self.path)


class Gathered(L.Callback):
    """Types of a block's weights while it runs, of hidden states and of the gradients."""

    def __init__(self) -> None:
        self.weights: set[str] = set()
        self.states: set[str] = set()
        self.gradients: set[str] = set()

    def on_train_start(self, trainer, pl_module) -> None:
        inner = pl_module.policy.get_base_model() if pl_module.lora else pl_module.policy
        for block in inner.model.layers:
            block.register_forward_pre_hook(self._note)  # behind FSDP's own, which gathers

    def _note(self, block, given) -> None:
        self.weights |= {str(p.dtype) for p in block.parameters()}
        self.states.add(str(given[0].dtype))

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        grads = (p.grad for p in pl_module.policy.parameters())
        self.gradients |= {str(g.dtype) for g in grads if g is not None}


class Parts(L.Callback):
    """Counts the parts of each micro-batch that have rows."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.counts.append(len(batch))


class Weights(L.Callback):
    """Keeps the weights at the start and at the end, whole, and this process's share of them."""

    def on_train_start(self, trainer, pl_module) -> None:
        policy = pl_module.policy
        state = {} if is_sharded(trainer) else policy.state_dict()
        tensors = list(policy.parameters())
        here = [p.to_local() if isinstance(p, DTensor) else p for p in tensors]
        self.share = sum(p.numel() for p in here) / sum(p.numel() for p in tensors)
        self.begun = {key: value.flatten().tolist() for key, value in state.items()}

    def on_train_end(self, trainer, pl_module) -> None:
        policy = pl_module.policy
        state = whole_state(policy) if is_sharded(trainer) else policy.state_dict()
        self.found = {key: value.flatten().tolist() for key, value in state.items()}


class Module(UnlearningModule):
    """The stub in place of a model on disk."""

    spec: dict = {}
    dtype: str = "float32"

    def configure_model(self) -> None:
        if not hasattr(self, "policy"):
            self.use_model(stub_model(self.spec).to(getattr(torch, self.dtype)))


def several(out: str, folder: str, runs: str) -> None:
    """Fits one after the other, each in a folder of its name."""
    for name, options in json.loads(runs).items():
        main(str(Path(out, name)), folder, json.dumps(options))


def main(out: str, folder: str, options: str) -> None:
    given = json.loads(options)
    cached.ROWS_AT_ONCE = given.get("rows_at_once", 8)
    files = Path(folder)
    torch.manual_seed(2)
    lora = LoraConfig(
        r=2, target_modules=["q_proj", "v_proj"], lora_dropout=given.get("dropout", 0)
    )
    objectives = {
        "forget": objective("gradient_ascent", weight=0.1),
        "mismatch": objective("random_mismatch"),
        "retain": objective("retain_kl"),
        "dual": objective("pdu", weight=0.01, retain_bound=1.0),
    }
    module = Module(
        {name: objectives[name] for name in given.get("objectives", [*objectives][:3])},
        optimizer=partial(
            getattr(torch.optim, given.get("optimizer", "SGD")), lr=given.get("lr", 0.1)
        ),
        lora=lora if given.get("lora") else None,
        layout=given.get("layout", "auto"),
        gradient_checkpointing=given.get("checkpointing", False),
        reference=given.get("reference", "auto"),
        max_tokens_per_micro_batch=given.get("tokens"),
    )
    module.spec = {"random_init": 1, "tie": given.get("tie", False)}
    module.dtype = given.get("dtype", "float32")
    streams = {
        "forget": qa(files / "forget.jsonl"),
        "retain": qa(files / "retain.jsonl"),
        "mismatch": Stream.resolve("mismatch")(prompts="forget", answers="retain", per_prompt=2),
    }
    devices = given.get("devices", 1)
    rows, workers = given.get("rows", 2), given.get("workers", 0)
    data = stub_data(streams, batch_size=rows // devices, seed=11, num_workers=workers)
    strategy = given.get("strategy", "auto")
    strategy = FSDP2Strategy(**given["hsdp"]) if "hsdp" in given else strategy
    recorder, weights, gathered, parts = Recorder(), Weights(), Gathered(), Parts()
    trainer = L.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy=strategy,
        precision=given.get("precision", "32-true"),
        max_steps=given["steps"],
        accumulate_grad_batches=given.get("accumulate", 1),
        gradient_clip_val=given.get("clip"),
        logger=False,
        default_root_dir=out,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            recorder,
            SaveAt(given.get("save"), given.get("after", 0)),
            weights,
            gathered,
            parts,
        ],
    )
    point_checkpoints_at(trainer, Path(out))
    L.seed_everything(given.get("seed", 0), verbose=False)
    trainer.fit(module, datamodule=data, ckpt_path=given.get("resume"), weights_only=True)
    found = {
        "rows": recorder.rows,
        "figures": recorder.figures,
        "weights": weights.found,
        "begun": weights.begun,
        "share": weights.share,
        "parts": parts.counts,
        "types": {k: sorted(getattr(gathered, k)) for k in ("weights", "states", "gradients")},
    }
    Path(out, f"rank{trainer.global_rank}.json").write_text(json.dumps(found))
