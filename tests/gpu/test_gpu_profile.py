"""Attention calls, launches and waits of a step, counted by the profiler."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from gpu_device import on_gpu
from short_fits import objective, qa, stub_data
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM
from unit.engine.step import varlen_on_cpu

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.module import UnlearningModule

BLOCKS = 3
ATTENTION = ("torch_attn::_varlen_attn", "torch_attn::_varlen_attn_backward")
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
METHOD = {"forget": "gradient_ascent", "mismatch": "random_mismatch", "retain": "retain_nll"}


def _module(device: str) -> UnlearningModule:
    """A model whose heads are as wide as the kernels want them, in half precision."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=256, hidden_size=64, intermediate_size=64, num_hidden_layers=BLOCKS,
            num_attention_heads=4, num_key_value_heads=2,
        )
    ).to(device, torch.bfloat16)  # fmt: skip
    module = UnlearningModule(
        {key: objective(name) for key, name in METHOD.items()}, layout="packed"
    )
    module.use_model(model)
    if device == "cuda":
        assert module.attention == "varlen"
    else:
        varlen_on_cpu.register()
        use_tree_attention(module.policy, "varlen")
    module.policy.train()
    return module


def _streams(rows: int) -> dict[str, StreamBatch]:
    generator = torch.Generator().manual_seed(rows)

    def ids() -> tuple[int, ...]:
        length = int(torch.randint(2, 12, (1,), generator=generator))
        return tuple(torch.randint(256, (length,), generator=generator).tolist())

    forget = [Example(ids(), ids(), row, "f") for row in range(rows)]
    found = {
        "forget": forget,
        "mismatch": [Example(e.prompt_ids, ids(), e.row, "m") for e in forget for _ in range(5)],
        "retain": [Example(ids(), ids(), row, "r") for row in range(rows)],
    }
    return {
        name: StreamBatch(tuple(each), sum(len(e.response_ids) for e in each), len(each))
        for name, each in found.items()
    }


def _events(run: Callable[[], object], device: str) -> Counter[str]:
    """How often each event happened; those inside of an attention call are left out."""
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] if device == "cuda" else []
    with profile(activities=activities) as profiled:
        run()
        if device == "cuda":
            torch.cuda.synchronize()
    found: Counter[str] = Counter()
    for event in profiled.events():
        parent: Any = event.cpu_parent
        while parent is not None and parent.name not in ATTENTION:
            parent = parent.cpu_parent
        if parent is None:
            found[event.name] += 1
    return found


@pytest.mark.parametrize("device", [on_gpu(), pytest.param("cpu", marks=pytest.mark.slow)])
def test_a_step_has_one_attention_call_a_layer_and_launches_that_do_not_grow(device: str) -> None:
    module = _module(device)

    def step(rows: int) -> Counter[str]:
        batches = [batch.to(device) for batch in module.packer(_streams(rows))]
        module.loss(batches).backward()  # kernels are loaded
        return _events(lambda: module.loss(batches).backward(), device)

    few, many = (step(rows) for rows in ((4, 32) if device == "cuda" else (2, 4)))
    for found in (few, many):
        assert [found[name] for name in ATTENTION] == [BLOCKS, BLOCKS]
    launches = "cudaLaunchKernel" if device == "cuda" else None
    counted = [
        sum(
            n for name, n in each.items() if name == launches or (launches is None and "::" in name)
        )
        for each in (few, many)
    ]
    assert counted[1] <= 1.05 * counted[0]


@pytest.mark.parametrize("device", [on_gpu(), pytest.param("cpu", marks=pytest.mark.slow)])
def test_a_step_of_a_fit_waits_for_the_device_once(device: str, tmp_path: Any) -> None:
    """Twice the steps have as many waits more as there are steps more, and no others."""
    for name in ("forget", "retain"):
        lines = [json.dumps({"prompt": "ab", "response": "cde"[: 1 + r % 3]}) for r in range(8)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))

    def waits(steps: int) -> int:
        names = {"forget": "npo", "retain": "retain_kl"}
        module = UnlearningModule({key: objective(name) for key, name in names.items()})
        torch.manual_seed(0)
        module.use_model(
            LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2,
                )
            )
        )  # fmt: skip
        data = stub_data({n: qa(tmp_path / f"{n}.jsonl") for n in names}, batch_size=2)
        found = _events(
            lambda: L.Trainer(
                accelerator="gpu" if device == "cuda" else "cpu", devices=1, logger=False,
                max_steps=steps, max_epochs=-1, default_root_dir=tmp_path,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            ).fit(module, datamodule=data),
            device,
        )  # fmt: skip
        assert any(name.startswith("aten::") for name in found)
        return sum(found[name] for name in WAITS)

    waits(2)  # the first fit loads kernels
    few, many = (4, 12) if device == "cuda" else (1, 2)
    assert waits(many) - waits(few) <= many - few
