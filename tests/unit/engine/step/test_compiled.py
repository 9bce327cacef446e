"""One graph a decoder block, compiled once for batches of any lengths."""

from __future__ import annotations

import pytest
import torch
from rounding import margin
from short_fits import objective
from torch._dynamo.utils import counters
from transformers import LlamaConfig, LlamaForCausalLM

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.compiled import compile_blocks
from unlearnkit.module import UnlearningModule

METHOD = {"forget": "gradient_ascent", "retain": "retain_kl"}


def _module(**options) -> UnlearningModule:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    module = UnlearningModule({key: objective(name) for key, name in METHOD.items()}, **options)
    module.use_model(LlamaForCausalLM(config))
    module.policy.train()
    with torch.no_grad():  # away from the reference, where the gradient of the KL is zero
        module.policy.lm_head.weight.mul_(1.5)
    return module


def _ragged(step: int) -> dict[str, StreamBatch]:
    """Two responses to each of three prompts, of other lengths in each step."""
    generator = torch.Generator().manual_seed(step)

    def ids() -> tuple[int, ...]:
        length = int(torch.randint(3, 20, (1,), generator=generator))
        return tuple(torch.randint(64, (length,), generator=generator).tolist())

    prompts = [ids() for _ in range(3)]
    return {
        stream: StreamBatch(
            tuple(Example(p, ids(), row, stream) for row, p in enumerate(prompts) for _ in "ab"),
            60.0,
            6.0,
        )
        for stream in METHOD
    }


def _steps(module: UnlearningModule, count: int) -> list[tuple[torch.Tensor, torch.Tensor, int]]:
    """Loss, gradient and graphs compiled so far after each of some steps."""
    found = []
    for step in range(count):
        module.zero_grad()
        loss = module.loss(module.packer(_ragged(step)))
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in module.policy.parameters()])
        found.append((loss.detach(), gradient, counters["stats"]["unique_graphs"]))
    return found


CHECKPOINTS = {"layout": "packed", "gradient_checkpointing": True}


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("aot_eager", {"layout": "packed"}),
        pytest.param("aot_eager", {"layout": "rows"}, marks=pytest.mark.slow),
        pytest.param("inductor", {"layout": "packed"}, marks=pytest.mark.slow),
        pytest.param("inductor", {"layout": "rows"}, marks=pytest.mark.slow),
        pytest.param("inductor", CHECKPOINTS, marks=pytest.mark.slow),
    ],
)
def test_ragged_batches_are_one_graph_a_block_and_train_alike(backend, options) -> None:
    torch.compiler.reset()
    counters.clear()
    plain, compiled = _module(**options), _module(**options)
    compile_blocks([compiled.policy, compiled.reference.model], backend=backend)
    found = _steps(compiled, 5)
    assert not counters["graph_break"]
    # A graph for training and one for the reference, which the blocks of a model share.
    assert 2 <= found[-1][2] == found[2][2] <= 4
    for one, other in zip(found, expected := _steps(plain, 5), strict=True):
        assert torch.allclose(one[0], other[0], rtol=1e-5)
        assert torch.allclose(one[1], other[1], rtol=1e-4, atol=margin())
    assert not torch.allclose(expected[0][0], expected[1][0], rtol=1e-2)
