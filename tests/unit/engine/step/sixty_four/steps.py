"""A step of 64 rows as a training module makes it, and by plain passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from rounding import DOT, margin, near
from short_fits import objective
from torch import Tensor

from unit.engine.step.sixty_four.rows import (
    NPO,
    RMU,
    ROWS,
    YAO,
    model_of,
    moved,
    plain_loss,
    streams,
)  # fmt: skip
from unlearnkit.data.attention_plan import AttentionPlan
from unlearnkit.data.pack import Batch
from unlearnkit.module import UnlearningModule


def module_of_step(
    name: str = "llama", names: dict[str, str] = YAO, prepare: Any = None, **options: Any
) -> UnlearningModule:
    given = {"rmu": {"layer": 0}, "retain_hidden": {"layer": 0}}
    objectives = {key: objective(each, **given.get(each, {})) for key, each in names.items()}
    module = UnlearningModule(objectives, **options)
    module.use_model(model_of(name))
    if prepare is not None:
        prepare(module)
    moved(module.policy)
    module.policy.train(bool(module.gradient_checkpointing))
    return module


def step(
    module: UnlearningModule, fault: Callable[[Batch], Batch] = lambda batch: batch, lost: int = 0
) -> tuple[float, Tensor]:
    """Loss, and the gradients of all that is trained; without some of the parts."""
    batches = module.packer({name: streams()[name] for name in module.streams_read})
    module.zero_grad()
    loss = module.loss([fault(batch) for batch in batches[lost:]])
    loss.backward()
    gradients = [p.grad.flatten() for p in module.policy.parameters() if p.grad is not None]
    return float(loss.detach()), torch.cat(gradients)


NAMES = {"yao": YAO, "npo": NPO, "rmu": RMU}


@cache
def plain_step(name: str = "llama", method: str = "yao") -> tuple[float, Tensor]:
    policy = moved(model_of(name))
    loss = plain_loss(NAMES[method], policy, model_of(name))
    loss.backward()
    gradients = [p.grad.flatten() for p in policy.parameters() if p.grad is not None]
    return float(loss.detach()), torch.cat(gradients)


def gap(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def same(found: tuple[float, Tensor], expected: tuple[float, Tensor]) -> bool:
    terms = DOT if expected[1].dtype == torch.float64 else ROWS * DOT  # a gradient sums over tokens
    alike = gap(found[1], expected[1]) < margin(terms=terms)
    return found[0] == near(expected[0], size=4.0) and alike


def dropped_prompt(batch: Batch) -> Batch:
    """The last response of a prompt sees itself and no longer its prompt."""
    plan = batch.attention
    assert plan is not None
    assert plan.gather is not None
    part = max(i for i, q in enumerate(plan.queries) if q < plan.keys[i])
    own, start = plan.queries[part], int(plan.key_ends[part])
    dropped = plan.keys[part] - own
    gather = torch.cat([plan.gather[:start], plan.gather[start + dropped :]])
    keys = (*plan.keys[:part], own, *plan.keys[part + 1 :])
    ends = plan.key_ends.clone()
    ends[part + 1 :] -= dropped
    changed = AttentionPlan(plan.queries, keys, gather, plan.query_ends, ends)
    return replace(batch, attention=changed)
