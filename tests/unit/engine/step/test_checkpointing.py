"""Recomputed blocks give the same loss and gradients, and fewer numbers wait for them."""

from __future__ import annotations

import pytest
import torch
from architectures import CONFIGS, VOCABULARY
from peft import LoraConfig
from short_fits import objective
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from transformers import AutoModelForCausalLM, LlamaForCausalLM, modeling_utils

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.checkpointing import Checkpointing, recompute_blocks
from unlearnkit.errors import RecipeError
from unlearnkit.module import UnlearningModule

METHOD = {"forget": "npo", "retain": "retain_kl"}
TARGETS = {"llama": ["q_proj", "down_proj"], "gpt-neox": ["query_key_value"]}
LAYERS = 4
EVERY_SECOND = Checkpointing(every=2)
OFFLOADED = Checkpointing(offload=True)


def _batch() -> dict[str, StreamBatch]:
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())

    prompts = [ids(5), ids(9)]
    return {
        stream: StreamBatch(
            tuple(Example(p, ids(7), row, stream) for row, p in enumerate(prompts) for _ in "ab"),
            28.0,
            4.0,
        )
        for stream in METHOD
    }


def _step(architecture: str, checkpointing: bool | Checkpointing, **options):
    """Loss, gradients, and numbers that the forward pass saves for the backward pass."""
    config = CONFIGS[architecture]()
    config.num_hidden_layers = LAYERS
    torch.manual_seed(0)
    module = UnlearningModule(
        {key: objective(name) for key, name in METHOD.items()},
        gradient_checkpointing=checkpointing,
        **options,
    )
    module.use_model(AutoModelForCausalLM.from_config(config))
    module.policy.train()
    with torch.no_grad():  # away from the reference, where the gradient of the KL is zero
        for weight in module.policy.parameters():
            if weight.requires_grad:
                weight.add_(0.05)
    saved = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal saved
        saved += tensor.numel()
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor):
        loss = module.loss(module.packer(_batch()))
    loss.backward()
    trained = [p for p in module.policy.parameters() if p.requires_grad]
    return loss.detach(), [p.grad for p in trained], saved


@pytest.mark.parametrize("architecture", ["llama", "gpt-neox"])
@pytest.mark.parametrize("layout", ["packed", "rows"])
@pytest.mark.parametrize("adapter", [False, True])
def test_loss_and_gradients_are_the_same_with_fewer_numbers_kept(architecture, layout, adapter):
    lora = LoraConfig(r=2, target_modules=TARGETS[architecture]) if adapter else None
    options = {"layout": layout, "lora": lora}
    plain, half, every, offloaded = (
        _step(architecture, each, **options) for each in (False, EVERY_SECOND, True, OFFLOADED)
    )
    for loss, gradients, _ in (half, every, offloaded):
        torch.testing.assert_close(loss, plain[0])
        torch.testing.assert_close(gradients, plain[1])
    assert any(float(each.abs().max()) > 1e-4 for each in plain[1])
    assert every[2] < half[2] < plain[2]
    # Of four equal blocks two are recomputed: half of the difference. Below an adapter they are not
    # equal, since the first block's input has no gradient.
    assert adapter or plain[2] - half[2] == pytest.approx((plain[2] - every[2]) / 2, rel=0.02)


@pytest.mark.parametrize("architecture", ["llama", "gpt-neox"])
def test_inputs_of_offloaded_blocks_wait_in_main_memory(monkeypatch, architecture):
    """As on an accelerator, with copies in memory that is not pinned."""
    plain = _step(architecture, EVERY_SECOND, layout="packed")
    entered = []

    def copies(pin_memory: bool, device_type: str) -> save_on_cpu:
        entered.append((pin_memory, device_type))
        return save_on_cpu(pin_memory=False)

    monkeypatch.setattr(modeling_utils, "save_on_cpu", copies)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    found = _step(architecture, Checkpointing(every=2, offload=True), layout="packed")
    assert entered == [(True, "cpu")] * 2
    torch.testing.assert_close(found[:2], plain[:2])


def test_what_cannot_work_is_refused(monkeypatch):
    with pytest.raises(RecipeError, match=r"gradient_checkpointing\.every: expected at least 1"):
        UnlearningModule(
            {"forget": objective("npo")}, gradient_checkpointing=Checkpointing(every=0)
        )
    with pytest.raises(
        RecipeError, match=r"does not go with model\.gradient_checkpointing\.offload"
    ):
        UnlearningModule(
            {"forget": objective("npo")}, compile=True, gradient_checkpointing=OFFLOADED
        )
    monkeypatch.setattr(LlamaForCausalLM, "supports_gradient_checkpointing", False)
    model = LlamaForCausalLM(CONFIGS["llama"]())
    with pytest.raises(RecipeError, match="LlamaForCausalLM cannot recompute its blocks"):
        recompute_blocks(model, True)
    recompute_blocks(model, False)
