"""One fit on one or two processes; run by the tests on each rank.

Its arguments: OUT DEVICES BATCH_SIZE ACCUMULATE FOLDER [OBJECTIVE=STREAM ...]
[saliency=FRACTION] [robust=NAME] [lr=RATE] [parts=TOKENS] [reference=KIND] [fault=own]
"""

from __future__ import annotations

import json
from pathlib import Path

import lightning as L
import torch
from peft import LoraConfig
from short_fits import Recorder, objective, qa, stub_data, stub_module

from unlearnkit.data.sampler import StepDataset
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.streams.sampled import SampledStream
from unlearnkit.engine.training.salun import Saliency
from unlearnkit.robust import Robust


def _own_counts(dataset: StepDataset, step: int) -> tuple[int, int]:
    """What is wrong: each rank takes the step for as large as it would be of rows like its own."""
    plan = dataset.plan
    draws = plan.draws(dataset.stream, step, dataset.rank)
    examples = [each for draw in draws for each in dataset.data.at(*draw)]
    tokens = sum(len(each.response_ids) for each in examples)
    return len(examples) * plan.world, tokens * plan.world


def main(
    out: str, devices: str, batch_size: str, accumulate: str, folder: str, *names: str
) -> None:
    terms = dict(name.split("=") for name in names)
    lr = float(terms.pop("lr", 0.1))
    fraction, robust = terms.pop("saliency", None), terms.pop("robust", None)
    if terms.pop("fault", None):
        StepDataset._of_whole_step = _own_counts
    parts, reference = terms.pop("parts", None), terms.pop("reference", "auto")
    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    files = Path(folder)
    module = stub_module(
        {name: objective(name, stream=stream) for name, stream in terms.items()},
        {"random_init": 1},
        lr=lr,
        saliency=Saliency(float(fraction)) if fraction else None,
        robust=Robust.resolve(robust)() if robust else None,
        max_tokens_per_micro_batch=int(parts) if parts else None,
        reference=reference,
        lora=lora if reference == "adapter_off" else None,
    )
    streams = {"forget": qa(files / "forget.jsonl"), "retain": qa(files / "retain.jsonl")}
    if "mismatch" in terms.values():
        streams["mismatch"] = Stream.resolve("mismatch")(
            prompts="forget", answers="retain", per_prompt=2
        )
    if "d2o" in terms:
        streams["self_samples"] = SampledStream(
            per_prompt=2, max_new_tokens=3, cache=str(Path(out, "samples"))
        )
    data = stub_data(streams, batch_size=int(batch_size), seed=11)
    recorder = Recorder()
    trainer = L.Trainer(
        accelerator="cpu",
        devices=int(devices),
        strategy="ddp" if int(devices) > 1 else "auto",
        max_epochs=2,
        accumulate_grad_batches=int(accumulate),
        logger=False,
        default_root_dir=out,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[recorder],
    )
    trainer.fit(module, datamodule=data)
    weights = torch.cat([p.detach().flatten() for p in module.policy.parameters()])
    found = {
        "rows": recorder.rows,
        "figures": recorder.figures,
        "steps": recorder.steps,
        "weights": weights.tolist(),
    }
    Path(out, f"rank{trainer.global_rank}.json").write_text(json.dumps(found))
