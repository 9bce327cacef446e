"""Every attention kernel gives the values and gradients of the loop, with windows and GQA."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from architectures import PACKED, VOCABULARY, tiny_model
from forests import OPTIONS, by_hand, forest, gap, run
from torch import Tensor
from torch.nn.attention.varlen import AuxRequest, varlen_attn

from unit.engine.step import varlen_on_cpu
from unlearnkit.data.attention_plan import AttentionPlan, Tree, plan_attention
from unlearnkit.data.example import Example
from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.attention_kernels import KERNELS, capped_by, seen_by
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head


@pytest.fixture(autouse=True)
def _cpu_kernels() -> None:
    varlen_on_cpu.register()


@pytest.mark.parametrize("window", [None, 6, 15])
@pytest.mark.parametrize("seed", range(3))
def test_loop_and_varlen_are_a_dense_softmax(seed: int, window: int | None) -> None:
    plan = forest(seed)
    expected = run(by_hand, plan, window=window)
    for name in ("loop", "varlen"):
        assert gap(run(KERNELS[name], plan, window=window), expected) < 1e-12, name
    wrong = run(KERNELS["varlen"], plan, window=5 if window is None else window - 1)
    assert gap(wrong, expected) > 1e-2


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("answers", [1, 5])
def test_runs_of_like_parts_are_a_dense_softmax(answers: int, window: int | None) -> None:
    trees: list[Tree] = []
    for number in range(8):
        start = number * (4 + 6 * answers)
        ends = [start + 4 + 6 * n for n in range(answers + 1)]
        trees.append(Tree((start, ends[0]), tuple(pairwise(ends))))
    plan = plan_attention(trees)
    assert plan.runs == (((8, 10, 10),) if answers == 1 else ((1, 4, 4), (5, 6, 10)) * 8)
    expected = run(by_hand, plan, window=window)
    assert gap(run(KERNELS["loop"], plan, window=window), expected) < 1e-12
    wrong = run(KERNELS["loop"], plan, window=2 if window else 3)
    assert gap(wrong, expected) > 1e-2


def test_the_loop_has_soft_caps() -> None:
    plan = forest(0)
    expected = run(by_hand, plan, softcap=0.5)
    # Its softmax is in float32, as that of transformers.
    assert gap(run(KERNELS["loop"], plan, softcap=0.5), expected) < 2e-6
    assert gap(run(KERNELS["loop"], plan), expected) > 1e-2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("softcap", [None, 0.5])
@pytest.mark.parametrize("window", [None, 6])
def test_flex_is_the_loop_forward(window: int | None, softcap: float | None) -> None:
    """Its backward pass has no CPU form."""
    plan = forest(1)
    generator = torch.Generator().manual_seed(1)
    query, key, value = (
        torch.randn(1, n, sum(plan.queries), 16, generator=generator) for n in (6, 2, 2)
    )
    options = OPTIONS | {"window": window, "softcap": softcap}
    found, expected = (KERNELS[k](query, key, value, plan, **options) for k in ("flex", "loop"))  # pyright: ignore
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("window", [None, 4])
def test_the_mask_function_of_flex_is_the_masks_of_the_plan(window: int | None) -> None:
    plan = forest(2)
    seen = seen_by(plan, window)
    queries, keys = torch.meshgrid(
        torch.arange(sum(plan.queries)), torch.arange(sum(plan.keys)), indexing="ij"
    )
    found = seen(torch.zeros(()), torch.zeros(()), queries, keys)
    expected = torch.zeros_like(found)
    for part, (q, k) in enumerate(zip(plan.queries, plan.keys, strict=True)):
        start, first = int(plan.query_ends[part]), int(plan.key_ends[part])
        mask = plan.mask(q, k, window)
        mask = torch.ones(q, k, dtype=torch.bool).tril() if mask is None else mask
        expected[start : start + q, first : first + k] = mask
    assert torch.equal(found, expected)
    assert capped_by(2.0)(torch.tensor([2.0])).item() == pytest.approx(1.5231883)


def _merged(query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, **_: Any) -> Tensor:
    """Prompt and own tokens by a call each, merged by their log-sum-exps: what is not done."""
    q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
    (prompt, own), prompt_end = (plan.queries[0], plan.queries[1]), plan.queries[0]
    ends = partial(torch.tensor, dtype=torch.int32)
    aux = {"enable_gqa": True, "return_aux": AuxRequest(lse=True)}
    begin = q[:prompt_end], k[:prompt_end], v[:prompt_end], ends([0, prompt]), ends([0, prompt])
    first = varlen_attn(*begin, prompt, prompt, window_size=(-1, 0), enable_gqa=True)
    rest = q[prompt_end : prompt_end + own]
    over: Any = varlen_attn(rest, k[:prompt_end], v[:prompt_end], ends([0, own]),
                            ends([0, prompt]), own, prompt, **aux)  # fmt: skip
    within: Any = varlen_attn(rest, k[prompt_end:], v[prompt_end:], ends([0, own]),
                              ends([0, own]), own, own, window_size=(-1, 0), **aux)  # fmt: skip
    weight = torch.sigmoid(over[1] - within[1]).t()[..., None]
    return torch.cat([first, weight * over[0] + (1 - weight) * within[0]])[None]  # pyright: ignore


def test_two_calls_merged_by_their_log_sum_exp_have_wrong_gradients() -> None:
    """The library drops that gradient; a kernel of two calls would fail the tests above."""
    plan = plan_attention([Tree((0, 5), ((5, 11),))])
    forest = plan_attention([Tree((0, 5), ((5, 11), (11, 12)))])
    two = AttentionPlan((5, 6), (5, 11), forest.gather, forest.query_ends, forest.key_ends)
    expected = run(KERNELS["loop"], plan)
    found = run(_merged, two)
    assert gap(found[:1], expected[:1]) < 1e-12
    assert gap(found[1:], expected[1:]) > 1e-2


@pytest.mark.parametrize("name", [n for n in PACKED if n != "gemma2"])  # soft caps
def test_models_attend_once_a_layer_and_train_alike(name: str) -> None:
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())

    prompts = [ids(1 + row % 9) for row in range(64)]
    rows = [Example(p, ids(2 + n), r, "f") for r, p in enumerate(prompts) for n in (0, 3)]
    batch = pack({"forget": StreamBatch(tuple(rows), 1, 1)})
    # Mixtures of experts have no float64 form.
    dtype = torch.float32 if name in ("mixtral", "qwen3-moe") else torch.float64
    found: list[list[Tensor]] = []
    for kernel in ("loop", "varlen"):
        model: Any = tiny_model(name).to(dtype)
        use_tree_attention(model, kernel)
        varlen_on_cpu.calls.update(forward=0, backward=0)
        logps = ForwardPass(model, Head(model), batch).logps(torch.arange(len(batch.target)))
        logps.sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        found.append([logps.detach(), *gradients])
    assert varlen_on_cpu.calls == {"forward": 2, "backward": 2}  # two decoder blocks
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= 100 * torch.finfo(dtype).eps * max(1.0, other.norm())


def test_under_autocast_kernels_compute_in_half_precision() -> None:
    """Rotary embeddings hand queries and keys on in float32."""
    plan = forest(0)
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(1, n, sum(plan.queries), 8, generator=generator) for n in (6, 2, 2)]
    with torch.autocast("cpu", torch.bfloat16):
        found = KERNELS["varlen"](*inputs, plan, **OPTIONS)  # pyright: ignore
        expected = KERNELS["loop"](*inputs, plan, **OPTIONS)  # pyright: ignore
    assert found.dtype == expected.dtype == torch.bfloat16
    assert (found - expected).float().norm() < 2e-2 * expected.float().norm()
