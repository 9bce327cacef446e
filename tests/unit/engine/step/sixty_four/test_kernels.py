"""At 64 rows flex, compiled blocks and Liger give what plain passes give."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import tiny_model
from rounding import margin
from torch import Tensor

from unit.engine.step.sixty_four.rows import ROWS, logps_of, plain_pass, streams
from unit.engine.step.sixty_four.steps import (
    dropped_prompt,
    module_of_step,
    plain_step,
    same,
    step,
)  # fmt: skip
from unlearnkit.data.attention_plan import AttentionPlan
from unlearnkit.data.pack import pack
from unlearnkit.engine.step import attention_kernels
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.attention_loop import gathered
from unlearnkit.engine.step.compiled import compile_blocks
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.module import UnlearningModule

TESTS = Path(__file__).parents[4]


def _dense(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, *,
    dropout: float, scaling: float | None, window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    """A softmax over all gathered keys, by the mask and score functions that flex is given."""
    key, value = (
        gathered(each, plan, 2).repeat_interleave(query.shape[1] // each.shape[1], 1)
        for each in (key, value)
    )
    score = query @ key.mT * (scaling or query.shape[-1] ** -0.5)
    if softcap is not None:
        score = attention_kernels.capped_by(softcap)(score)
    places = torch.meshgrid(*map(torch.arange, score.shape[2:]), indexing="ij")
    seen = attention_kernels.seen_by(plan, window if plan.reaches(window) else None)
    hidden = ~seen(torch.zeros(()), torch.zeros(()), *places)
    return (score.masked_fill(hidden, -math.inf).softmax(-1) @ value).transpose(1, 2)


@pytest.fixture
def dense_flex(monkeypatch):
    """``flex`` as a dense softmax, which has a backward pass on a CPU."""
    monkeypatch.setitem(attention_kernels.KERNELS, "flex", _dense)


def _flex(module: UnlearningModule) -> None:
    use_tree_attention(module.policy, "flex")
    use_tree_attention(module.reference.model, "flex")  # pyright: ignore


@pytest.mark.parametrize("name", ["llama", "mistral-window", "gemma2"])
def test_mask_and_score_functions_of_flex_train_as_plain_passes(name, dense_flex) -> None:
    assert same(step(module_of_step(name, prepare=_flex)), plain_step(name))


def test_a_wrong_mask_or_score_function_is_found(dense_flex, monkeypatch) -> None:
    seen_by, capped_by = attention_kernels.seen_by, attention_kernels.capped_by

    def one_more(plan: AttentionPlan, window: int | None) -> Any:
        return seen_by(plan, window and window + 1)

    def one_pair(plan: AttentionPlan, window: int | None) -> Any:
        """The last query of the row does not see its first key."""
        seen = seen_by(plan, window)
        row, column = sum(plan.queries) - 1, sum(plan.keys) - plan.keys[-1]
        return lambda b, h, q, k: seen(b, h, q, k) & ((q != row) | (k != column))

    for name, function, fault in (
        ("mistral-window", "seen_by", one_more),
        ("llama", "seen_by", one_pair),
        ("gemma2", "capped_by", lambda cap: capped_by(1.1 * cap)),
    ):
        with monkeypatch.context() as planted:
            planted.setattr(attention_kernels, function, fault)
            assert not same(step(module_of_step(name, prepare=_flex)), plain_step(name)), name


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["llama", "mistral-window", "gemma2"])
def test_flex_itself_gives_the_values_of_plain_passes(name) -> None:
    """Its backward pass has no CPU form."""
    plain = [logps_of(plain_pass(tiny_model(name), each)[0], each) for each in streams()]
    expected = torch.cat([row for stream in plain for row in stream])
    model = tiny_model(name)
    use_tree_attention(model, "flex")
    size = float(expected.abs().max())
    batch = pack(streams())
    for fault in (False, True):
        batch = dropped_prompt(batch) if fault else batch
        found = ForwardPass(model, Head(model), batch).logps(torch.arange(len(batch.target)))
        assert (float((found - expected).abs().max()) > margin(size, ROWS)) == fault


def _compiled(backend: str, **options: Any) -> UnlearningModule:
    module = module_of_step(layout="packed", **options)
    compile_blocks([module.policy, module.reference.model], backend)  # pyright: ignore
    return module


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_steps_are_plain_passes(backend) -> None:
    torch.compiler.reset()
    whole, in_parts = _compiled(backend), _compiled(backend, max_tokens_per_micro_batch=500)
    assert same(step(whole), plain_step())
    assert same(step(in_parts), plain_step())
    assert not same(step(whole, dropped_prompt), plain_step())
    assert not same(step(in_parts, lost=1), plain_step())


LIGER = """
from unit.engine.step.sixty_four.steps import module_of_step, plain_step, same, step
from unlearnkit.engine.step import kernels

own, calls = kernels._liger_chunk, []
def counted(*given):
    calls.append(1)
    return own(*given)
def faulty(*given):
    found = own(*given)
    found.gradient[-1] = 0
    return found
for fault in (False, True):
    kernels._liger_chunk = faulty if fault else counted
    found = step(module_of_step("gemma2", head_kernel="liger"))
    assert same(found, plain_step("gemma2")) != fault, fault
assert calls
"""


@pytest.mark.extra("liger_kernel")
def test_a_step_by_liger_is_plain_passes() -> None:
    """Interpreted: Triton reads the variable when it is imported."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", LIGER], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
