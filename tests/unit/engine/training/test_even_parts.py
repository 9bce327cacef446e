"""Parts without rows change nothing of a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rounding import near
from short_fits import objective, stub_module

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.training.even_parts import EvenParts, evened_by

ROWS = {
    name: StreamBatch(
        tuple(Example((4 + n, 5), (6, 4 + n)[: 1 + n % 2], n, name) for n in range(4)), 6.0, 4.0
    )
    for name in ("forget", "retain")
}


class _Ranks:
    def __init__(self, most: int) -> None:
        self._most = most

    def most(self, number: int) -> int:
        return max(self._most, number)


def _found(module: Any, parts: list[Any]) -> tuple[Any, ...]:
    module.zero_grad()
    loss = module.loss(parts)
    loss.backward()
    gradients = [p.grad for p in module.policy.parameters()]
    return loss.item(), {k: float(v) for k, v in module.metrics.items()}, gradients


@pytest.mark.parametrize("layout", ["packed", "rows"])
@pytest.mark.parametrize(
    "names",
    [
        {"npo": {}, "retain_kl": {}},
        {"pdu": {}, "retain_nll": {}},
        {"rmu": {"layer": 0}, "l2_to_reference": {}},
    ],
    ids=" ".join,
)
def test_what_is_added_has_no_loss_no_metric_and_no_gradient(names, layout) -> None:
    objectives = {name: objective(name, **given) for name, given in names.items()}
    module = stub_module(
        objectives, {"random_init": 1}, layout=layout, max_tokens_per_micro_batch=4
    )
    rows = {name: ROWS["retain"] for name in module.streams_read}
    own = module.packer(rows)
    (empty,) = module.packer({name: StreamBatch((), 1.0, 1.0) for name in rows})
    evened = EvenParts(empty, _Ranks(len(own) + 2))(own)  # pyright: ignore
    assert len(evened) == len(own) + 2
    assert EvenParts(empty, _Ranks(0))(own) == own  # pyright: ignore
    loss, metrics, gradients = _found(module, own)
    again, others, same = _found(module, evened)
    assert again == near(loss)
    assert loss != 0.0
    assert others == near(metrics)
    for one, other in zip(gradients, same, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)
    # On its own it has a gradient of every weight that a part with rows has one of.
    nothing, _, zeros = _found(module, [empty])
    assert nothing == 0.0
    for one, other in zip(gradients, zeros, strict=True):
        assert (one is None) == (other is None)
        assert other is None or not other.any()


def test_a_whole_model_runs_the_parts_that_it_has() -> None:
    module: Any = stub_module({"it": objective("npo")}, max_tokens_per_micro_batch=4)
    module._trainer = type("Trainer", (), {"strategy": None, "callbacks": []})()
    parts = module.packer({"forget": ROWS["forget"]})
    assert evened_by(module)(parts) is parts
