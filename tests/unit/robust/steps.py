"""A step of a small model with forget and retain rows, for tests of robust methods."""

from __future__ import annotations

from contextlib import contextmanager

import torch
from peft import LoraConfig
from short_fits import objective, stub_module

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.models.wrapped import unwrapped

NAMES = {"forget": "npo", "retain": "retain_kl"}
LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)


def step_module(names=NAMES, seed=0, **options):
    torch.manual_seed(seed)
    objectives = {key: objective(name) for key, name in names.items()}
    return stub_module(objectives, {"random_init": 1}, **options)


def step_rows(module):
    """One prompt of both, so that streams apart are no streams in one forest, and twice in one."""
    drawn = {
        "forget": [((1, 2), (3, 4)), ((2, 1), (4, 3, 2)), ((1, 2), (4, 4))],
        "retain": [((1, 2), (2, 4)), ((3,), (4, 4, 1)), ((3, 3), (1,))],
    }
    return {
        name: StreamBatch(
            tuple(Example(*row, place, f"{name}:{place}") for place, row in enumerate(rows)),
            float(sum(len(response) for _, response in rows)),
            float(len(rows)),
        )
        for name, rows in drawn.items()
        if name in module.streams_read
    }


def gradient_of(module) -> torch.Tensor:
    module.zero_grad()
    module.loss(module.packer(step_rows(module))).backward()
    return flat([p.grad for p in trained(module)])


def trained(module):
    return [p for p in module.policy.parameters() if p.requires_grad]


def flat(tensors) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in tensors])


@contextmanager
def tokens_of(module):
    """Tokens that go through the policy."""
    seen = [0]
    hook = (
        unwrapped(module.policy)
        .get_input_embeddings()
        .register_forward_hook(
            lambda _module, inputs, _output: seen.__setitem__(0, seen[0] + inputs[0].numel())
        )
    )
    yield seen
    hook.remove()
