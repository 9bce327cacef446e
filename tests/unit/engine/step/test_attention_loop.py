"""The loop as one operation of a compiled graph is the loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unlearnkit.data.attention_plan import AttentionPlan, Tree, plan_attention
from unlearnkit.engine.step import attention_loop

BRANCHES = [Tree((0, 9), ((9, 14), (14, 33))), Tree((33, 40), ((40, 56),))]
# 64 prompts, each with a response of its own and, every third, a second one.
MANY: list[Tree] = []
for row in range(64):
    start = MANY[-1].responses[-1][1] if MANY else 0
    ends = (start + 2, start + 4 + row % 5, start + 7 + row % 5)
    MANY.append(
        Tree((start, ends[0]), ((ends[0], ends[1]), (ends[1], ends[2]))[: 1 + row % 3 // 2])
    )


# Equal answers of a prompt, then equal prompts with one answer: runs of like parts.
ALIKE = [Tree((0, 4), ((4, 9), (9, 14), (14, 19), (19, 21)))]
ALIKE += [Tree((start, start + 3), ((start + 3, start + 9),)) for start in range(21, 57, 9)]


def _run(plan: AttentionPlan, compiled: bool, **options) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    length = sum(plan.queries)
    tensors = [
        torch.randn(1, heads, length, size, generator=generator, dtype=torch.float64)
        for heads, size in ((4, 8), (2, 8), (2, 6))
    ]
    query, key, value = (t.requires_grad_() for t in tensors)
    options = {"scaling": None, "window": None, "softcap": None, **options}
    if compiled:
        found = attention_loop._attend(
            query, key, value, plan.registered().ticket, *options.values()
        )
    else:
        found = attention_loop.loop(query, key, value, plan, dropout=0.0, **options)
    upstream = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    return [found, *torch.autograd.grad((found * upstream).sum(), (query, key, value))]


@pytest.mark.parametrize(
    "trees", [BRANCHES, BRANCHES[1:], MANY, ALIKE, ALIKE[1:]],
    ids=["two", "alone", "64 rows", "alike", "all alike"],
)  # fmt: skip
@pytest.mark.parametrize(
    "options", [{}, {"window": 6}, {"softcap": 2.0}, {"scaling": 0.7, "window": 3, "softcap": 1.5}]
)
def test_values_and_gradients_are_those_of_the_loop(trees, options) -> None:
    first = trees[0].prompt[0]
    moved = [
        Tree((p[0] - first, p[1] - first), tuple((a - first, b - first) for a, b in r))
        for p, r in trees
    ]
    plan = plan_attention(moved)
    expected, found = (_run(plan, compiled, **options) for compiled in (False, True))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-11)


def test_a_plan_has_one_number_in_a_process() -> None:
    plan, other = plan_attention(BRANCHES), plan_attention(BRANCHES)
    number = plan.registered().ticket
    assert plan.registered().ticket == number != other.registered().ticket
    # One that came from another process brings its number along, which may be taken here.
    object.__setattr__(other, "ticket", number)
    assert other.registered().ticket != number
    assert plan.registered().ticket == number
