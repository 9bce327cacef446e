"""One step on a CUDA device: figures, gradients and memory beside plain passes."""

from __future__ import annotations

import copy

import pytest
import torch
from architectures import VOCABULARY, tiny_model
from short_fits import objective
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from unlearnkit import UnlearningModule
from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICE = "cuda"
METHOD = {"forget": "gradient_ascent", "mismatch": "random_mismatch", "retain": "retain_kl"}


def _streams(
    vocabulary: int, prompt: tuple[int, int], response: tuple[int, int]
) -> dict[str, StreamBatch]:
    """Three forget rows with three random answers each, and three retain rows."""
    generator = torch.Generator().manual_seed(0)

    def ids(low: int, high: int) -> tuple[int, ...]:
        length = int(torch.randint(low, high + 1, (1,), generator=generator))
        return tuple(torch.randint(3, vocabulary, (length,), generator=generator).tolist())

    forget = [Example(ids(*prompt), ids(*response), row, "f") for row in range(3)]
    mismatch = [Example(e.prompt_ids, ids(*response), e.row, "m") for e in forget for _ in range(3)]
    retain = [Example(ids(*prompt), ids(*response), row, "r") for row in range(3)]
    streams = {"forget": forget, "mismatch": mismatch, "retain": retain}
    return {
        name: StreamBatch(tuple(rows), sum(len(e.response_ids) for e in rows), len(rows))
        for name, rows in streams.items()
    }


def _module(model, device: str = DEVICE, **arguments) -> UnlearningModule:
    """Its policy is a little away from its reference, where KL has a gradient."""
    module = UnlearningModule({key: objective(name) for key, name in METHOD.items()}, **arguments)
    module.use_model(model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.policy.parameters():
            p.add_(0.02 * torch.randn(p.shape, generator=generator).to(p.dtype))
    # Gradient checkpointing is idle in eval mode, in which models are made.
    module.policy.train(module.gradient_checkpointing)
    return module.to(device)


def _run(module: UnlearningModule, streams) -> float:
    module.zero_grad(set_to_none=True)
    device = next(module.policy.parameters()).device
    loss = module.loss([batch.to(device) for batch in module.packer(streams)])
    loss.backward()
    return float(loss.detach())


def _step(module: UnlearningModule, streams) -> tuple[float, Tensor]:
    loss = _run(module, streams)
    gradients = [p.grad.flatten() for p in module.policy.parameters() if p.grad is not None]
    return loss, torch.cat(gradients).float().cpu()


def _padded(examples) -> tuple[Tensor, Tensor, Tensor]:
    width = max(len(e.prompt_ids) + len(e.response_ids) for e in examples)
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, e in enumerate(examples):
        whole = torch.tensor([*e.prompt_ids, *e.response_ids])
        ids[row, : len(whole)] = whole
        mask[row, : len(whole)] = 1
        labels[row, len(e.prompt_ids) : len(whole)] = whole[len(e.prompt_ids) :]
    return ids.to(DEVICE), mask.to(DEVICE), labels.to(DEVICE)


def _straightforward(policy, reference, streams) -> Tensor:
    """The same loss as one writes it down: a padded pass per stream, whole logits."""
    total = torch.zeros((), device=DEVICE)
    for name, batch in streams.items():
        ids, mask, labels = _padded(batch.examples)
        logits = policy(input_ids=ids, attention_mask=mask).logits.float()
        target = F.pad(labels[:, 1:], (0, 1), value=-100)
        seen = target != -100
        if name == "retain":
            with torch.no_grad():
                ref_logits = reference(input_ids=ids, attention_mask=mask).logits.float()
            kl = F.kl_div(
                logits.log_softmax(-1), ref_logits.log_softmax(-1), reduction="none",
                log_target=True,
            )  # fmt: skip
            total = total + kl.sum(-1)[seen].mean()
            continue
        losses = F.cross_entropy(
            logits.flatten(0, 1), target.flatten(), ignore_index=-100, reduction="none"
        ).view_as(target)
        if name == "mismatch":
            total = total + (losses.sum(1) / seen.sum(1)).mean()
        else:
            total = total - losses.sum() / seen.sum()
    return total


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("layout", ["packed", "rows"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "mistral-window", "gpt2", "qwen3"])
def test_loss_and_gradient_are_those_of_plain_passes(name, layout) -> None:
    streams = _streams(VOCABULARY, (1, 7), (2, 9))
    module = _module(tiny_model(name), layout=layout)
    loss, gradient = _step(module, streams)
    policy, reference = tiny_model(name), tiny_model(name).to(DEVICE)
    policy.load_state_dict(module.policy.state_dict())
    policy.to(DEVICE)
    expected = _straightforward(policy, reference, streams)
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-4)
    plain = torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])
    assert _relative(gradient, plain.cpu()) < 1e-3


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_device_gives_the_figures_of_the_cpu(checkpointing) -> None:
    streams = _streams(VOCABULARY, (1, 7), (2, 9))
    found = [
        _step(_module(tiny_model("llama"), device, gradient_checkpointing=checkpointing), streams)
        for device in (DEVICE, "cpu")
    ]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    assert _relative(found[0][1], found[1][1]) < 1e-3


def _wide(vocabulary: int = 128256) -> LlamaForCausalLM:
    """Two layers with heads as wide as flash attention wants them."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=False,
        )
    )


@pytest.mark.parametrize("implementation", ["eager", "flash_attention_2"])
def test_attention_implementations_agree_in_bfloat16(implementation) -> None:
    if implementation == "flash_attention_2":
        pytest.importorskip("flash_attn")
    streams = _streams(1000, (16, 64), (8, 32))
    found = []
    for each in ("sdpa", implementation):
        model = _wide(1000).to(torch.bfloat16)
        model.set_attn_implementation(each)
        found.append(_step(_module(model, layout="rows"), streams))
    assert found[0][0] == pytest.approx(found[1][0], abs=0.05)
    assert _relative(found[1][1], found[0][1]) < 0.1


def test_packed_agrees_with_rows_in_bfloat16() -> None:
    streams = _streams(1000, (16, 64), (8, 32))
    found = [
        _step(_module(_wide(1000).to(torch.bfloat16), layout=layout), streams)
        for layout in ("packed", "rows")
    ]
    assert found[0][0] == pytest.approx(found[1][0], abs=0.05)
    assert _relative(found[0][1], found[1][1]) < 0.1


def _peak(step) -> int:
    """Bytes above what is resident before it; the second of two steps, once kernels are loaded."""
    for _ in range(2):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def test_a_step_takes_less_than_half_the_memory_of_the_straightforward_one(
    record_property,
) -> None:
    """With a vocabulary of 128256 most of the latter is logits."""
    streams = _streams(128256, (64, 128), (32, 96))
    module = _module(_wide())
    policy = copy.deepcopy(module.policy)
    policy.set_attn_implementation("sdpa")
    reference = copy.deepcopy(policy).eval()

    def straightforward() -> None:
        policy.zero_grad(set_to_none=True)
        _straightforward(policy, reference, streams).backward()

    ours = _peak(lambda: _run(module, streams))
    plain = _peak(straightforward)
    parts = _module(_wide(), max_tokens_per_micro_batch=512)
    in_parts = _peak(lambda: _run(parts, streams))
    for name, value in (("ours", ours), ("in_parts", in_parts), ("straightforward", plain)):
        record_property(f"{name}_mib", value // 2**20)
    assert ours < plain / 2
    assert in_parts < plain / 2
