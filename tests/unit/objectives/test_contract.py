"""Every objective keeps the contract, and the check of the contract can fail."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unlearnkit.functional import row_mean
from unlearnkit.objectives import Objective
from unlearnkit.objectives.reduction import TokenObjective
from unlearnkit.testing import check_objective
from unlearnkit.testing.check import _evaluate
from unlearnkit.testing.sources import Rows

ON_PARAMETERS = {"l2_to_reference", "orthogonal_lora"}
OBJECTIVES = Objective.registered()
ON_ROWS = [
    pytest.param(cls, compat, id=f"{name}-{compat}" if compat else name)
    for name, cls in OBJECTIVES.items()
    if name not in ON_PARAMETERS and cls.__module__.startswith("unlearnkit.")
    for compat in (None, *cls.compat_values)
]


def build(cls, compat):
    return cls() if compat is None else cls(compat=compat)


@pytest.mark.parametrize(("cls", "compat"), ON_ROWS)
def test_contract(cls, compat):
    check_objective(build(cls, compat))


@pytest.mark.parametrize("reduction", ["token_mean", "sequence_mean", "sequence_sum"])
@pytest.mark.parametrize(
    "name", [name for name, cls in OBJECTIVES.items() if issubclass(cls, TokenObjective)]
)
def test_contract_of_every_reduction(name, reduction):
    check_objective(OBJECTIVES[name](reduction=reduction))


@pytest.mark.parametrize(("cls", "compat"), ON_ROWS)
def test_a_part_of_the_step_without_rows(cls, compat):
    objective = build(cls, compat)
    step = {s: Rows.draw(k) for k, s in enumerate(objective.streams)}
    nothing = {s: rows.take([]) for s, rows in step.items()}
    loss, _ = _evaluate(objective, nothing, None, step, parts=2)
    assert bool(loss.isfinite())
    if objective.additive:
        rest, _ = _evaluate(objective, step, None, step, parts=2)
        whole, _ = _evaluate(objective, step, None)
        torch.testing.assert_close((loss + rest) / 2, whole)


def test_contract_of_an_objective_on_parameters():
    check_objective(OBJECTIVES["l2_to_reference"](), policy=nn.Linear(2, 3))


@st.composite
def steps(draw):
    lengths = draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    order = draw(st.permutations(range(len(lengths))))
    cut = draw(st.integers(1, len(lengths) - 1))
    return tuple(lengths), order, cut


@pytest.mark.parametrize(("cls", "compat"), ON_ROWS)
@settings(max_examples=15)
@given(drawn=steps(), seed=st.integers(0, 99))
def test_order_and_split_of_rows_do_not_matter(cls, compat, drawn, seed):
    lengths, order, cut = drawn
    objective = build(cls, compat)
    step = {s: Rows.draw(seed + k, lengths) for k, s in enumerate(objective.streams)}
    loss, _ = _evaluate(objective, step, None)
    shuffled, _ = _evaluate(objective, {k: r.take(order) for k, r in step.items()}, None)
    torch.testing.assert_close(shuffled, loss)
    if objective.additive:
        parts = [{k: r.take(p) for k, r in step.items()} for p in (order[:cut], order[cut:])]
        losses = [_evaluate(objective, part, None, step, parts=2)[0] for part in parts]
        torch.testing.assert_close(torch.stack(losses).mean(), loss)


class Plain(Objective):
    def forward(self, views):
        view = views[self.stream]
        return view.mean(view.logps)


def with_forward(function, **attributes):
    namespace = {"forward": lambda self, views: function(self, views[self.stream]), **attributes}
    return type("Broken", (Plain,), namespace)()


BROKEN = {
    "not a scalar": with_forward(lambda o, v: v.logps),
    "the loss is": with_forward(lambda o, v: v.mean(v.logps) * float("inf")),
    "not a tensor with a gradient": with_forward(lambda o, v: v.mean(v.logps.detach())),
    "applies the weight": with_forward(lambda o, v: o.weight * v.mean(v.logps)),
    "order of rows": with_forward(lambda o, v: v.row_sum(v.logps)[0]),
    "one sequence of one token": with_forward(lambda o, v: v.mean(v.logps) / (len(v) - 1)),
    "two micro-batches": with_forward(lambda o, v: v.logps.mean()),
    "of two micro-batches have": with_forward(lambda o, v: v.mean(v.logps) + 1.0),
    "reads .'logits'.": with_forward(lambda o, v: v.mean(v.logits.amax(-1))),
    "needs = .'reference'.": with_forward(
        lambda o, v: v.mean(v.logps), needs=frozenset({"reference"})
    ),
    "needs may hold": with_forward(lambda o, v: v.mean(v.logps), needs=frozenset({"logit"})),
    "layers names no block": with_forward(
        lambda o, v: v.mean(v.hidden(0).sum(-1)), needs=frozenset({"hidden"})
    ),
    "a gradient is not finite": with_forward(lambda o, v: v.mean((v.logps * 0).sqrt())),
    "two micro-batches have": with_forward(
        lambda o, v: row_mean(v.logps, v.sequence, len(v)).mean()
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_the_check_finds(message):
    with pytest.raises(AssertionError, match=message):
        check_objective(BROKEN[message])


def test_a_sound_objective_passes():
    check_objective(Plain())


def test_the_check_leaves_the_objective_as_it_was():
    objective = OBJECTIVES["pdu"]()
    check_objective(objective)
    objective.after_step(lambda x: x)
    assert objective.dual == 100.0
