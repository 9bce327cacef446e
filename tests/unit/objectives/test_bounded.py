"""Bounded losses: closed forms, and whole steps against a plain model, row by row."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from rounding import margin, near
from short_fits import objective, stub_module
from torch.nn.functional import kl_div, logsigmoid

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.errors import RecipeError
from unlearnkit.functional import answer_preservation, jensen_shannon, jensun, unilogit
from unlearnkit.objectives import JensUn

Z = torch.tensor([[0.3, -1.0, 2.0, 0.5], [1.0, 1.0, -2.0, 0.0], [4.0, 0.0, 0.0, -4.0]])
REF = torch.tensor([[1.0, 0.0, 0.0, 0.0], [-1.0, 1.0, 2.0, 0.0], [4.0, 0.0, 0.0, -4.0]])
TARGET = torch.tensor([2, 0, 3])

ROWS = {
    "forget": [((1, 2), (3, 4, 1)), ((2, 1), (4, 3))],
    "idk": [((1, 2), (2, 2)), ((2, 1), (1, 2, 3))],
    "retain": [((3,), (4, 1)), ((3, 3), (1,))],
    "retain_idk": [((3,), (2, 2)), ((3, 3), (2, 1))],
}


def test_jensen_shannon_is_the_mean_of_two_divergences() -> None:
    p, q = Z.softmax(-1), REF.softmax(-1)
    m = (p + q) / 2
    parts = [kl_div(m.log(), each, reduction="none").sum(-1) for each in (p, q)]
    found = jensen_shannon(Z, REF)
    assert found.tolist() == near((sum(parts) / 2).tolist(), size=1.0)
    assert found.tolist() == near(jensen_shannon(REF, Z).tolist(), size=1.0)


def test_jensun_is_the_divergence_to_a_sure_prediction() -> None:
    sure = torch.full_like(Z, -1e4)
    sure[torch.arange(3), TARGET] = 0.0
    logps = Z.log_softmax(-1)[torch.arange(3), TARGET]
    assert jensun(logps).tolist() == near(jensen_shannon(Z, sure).tolist(), size=1.0)
    assert jensun(torch.tensor([math.log(1 / 3)])).item() == near(
        math.log(2) + 0.5 * (math.log(1 / 3) / 3 - 4 / 3 * math.log(4 / 3))
    )


def test_unilogit_by_hand() -> None:
    """p = (1/2, 1/4, 1/4), target the first: q = 1/3 each."""
    logits = torch.tensor([[2.0, 1.0, 1.0]]).log().requires_grad_()
    value = unilogit(logits, torch.tensor([0]))
    expected = 0.5 * math.log(1.5) + 0.5 * math.log(0.75)
    assert value.item() == near(expected)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    # p (log p/q - KL), the teacher held fixed.
    hand = [0.5 * (math.log(1.5) - expected), *[0.25 * (math.log(0.75) - expected)] * 2]
    assert gradient[0].tolist() == near(hand, size=1.0)


def test_unilogit_rests_where_the_target_is_as_likely_as_by_chance() -> None:
    logits = torch.tensor([[0.0, math.log(2.0), 0.0, -torch.inf]]).clamp(min=-1e9)
    logits[0, 3] = math.log(1 + 1 + 2) - math.log(3)
    logits.requires_grad_()
    value = unilogit(logits, torch.tensor([3]))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert value.item() == near(0.0, size=2.0)
    assert gradient[0].tolist() == near([0.0] * 4, size=2.0)


def test_answer_preservation_by_hand() -> None:
    found = answer_preservation(torch.tensor([-2.0, -5.0]), torch.tensor([-4.0, -5.0]), 0.5)
    assert found.tolist() == near([2 * math.log1p(math.exp(-1.0)), 2 * math.log(2)])


def _plain(model, prompt, response):
    """Logits that predict the response, of a plain pass over one row; hidden states of it."""
    ids = torch.tensor([[*prompt, *response]])
    out = model(ids, output_hidden_states=True, use_cache=False)
    hidden = out.hidden_states[1][0, len(prompt) :]
    return out.logits[0, len(prompt) - 1 : -1], hidden


def _tokens(rows, loss):
    return torch.cat([loss(*row) for row in rows]).mean()


def _expected(name, policy, start):
    """The loss of a step, of logits row by row."""

    def logp(row):
        logits, _ = _plain(policy, *row)
        return logits.log_softmax(-1)[torch.arange(len(row[1])), torch.tensor(row[1])]

    def sure(prompt, response, refusal):
        p = _plain(policy, prompt, response)[0].softmax(-1)
        e = torch.zeros_like(p)
        for place in range(len(p)):
            e[place, refusal[place % len(refusal)]] = 1.0
        m = (p + e) / 2
        half = kl_div(m.log(), p, reduction="none").sum(-1)
        return (half - (e * m.log()).sum(-1)) / 2

    def between(prompt, response):
        p, q = (_plain(m, prompt, response)[0].softmax(-1) for m in (policy, start))
        m = (p + q) / 2
        return sum(kl_div(m.log(), each, reduction="none").sum(-1) for each in (p, q)) / 2

    def uniform(prompt, response):
        p = _plain(policy, prompt, response)[0].softmax(-1)
        here = torch.arange(len(response)), torch.tensor(response)
        q = p * (1 - 1 / p.shape[-1]) / (1 - p[here])[:, None]
        q[here] = 1 / p.shape[-1]
        return (p * (p / q.detach()).log()).sum(-1)

    if name == "jensun":
        return _tokens(ROWS["idk"], lambda x, y: sure(x, y, y))
    if name == "jensun, tokens":
        return _tokens(ROWS["forget"], lambda x, y: sure(x, y, (4, 2)))
    if name == "retain_js":
        return _tokens(ROWS["retain"], between)
    if name == "unilogit":
        return _tokens(ROWS["forget"], uniform)
    if name == "answer_preservation":
        pairs = zip(ROWS["retain"], ROWS["retain_idk"], strict=True)
        margins = torch.stack([logp(y).sum() - logp(r).sum() for y, r in pairs])
        return (-logsigmoid(0.3 * margins) / 0.3).mean()
    assert name == "adaptive_rmu"
    losses = []
    for row in ROWS["forget"]:
        hidden, before = _plain(policy, *row)[1], _plain(start, *row)[1].detach()
        draw = torch.rand(hidden.shape[-1], generator=torch.Generator().manual_seed(0))
        to = 5.0 * before.norm(dim=-1, keepdim=True) * draw / draw.norm()
        losses.append((hidden - to).square().mean(-1).mean())
    return torch.stack(losses).mean()


CASES = {
    "jensun": ("jensun", {}),
    "jensun, tokens": ("jensun", {"tokens": [4, 2]}),
    "retain_js": ("retain_js", {}),
    "unilogit": ("unilogit", {}),
    "answer_preservation": ("answer_preservation", {"beta": 0.3}),
    "adaptive_rmu": ("adaptive_rmu", {"layer": 0}),
}


@pytest.mark.parametrize("layout", ["packed", "rows"])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_of_a_step_are_those_of_plain_passes(case, layout) -> None:
    name, arguments = CASES[case]
    torch.manual_seed(0)
    module = stub_module(
        {"it": objective(name, **arguments)}, {"random_init": 1}, layout=layout,
        reference="frozen",
    )  # fmt: skip
    plain = stub_module({"it": objective(name, **arguments)}, {"random_init": 1}, layout="rows")
    start = copy.deepcopy(plain.policy)
    for each in (module, plain):
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in each.policy.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    rows = {
        stream: StreamBatch(
            tuple(
                Example(*row, place, f"{stream}:{place}") for place, row in enumerate(ROWS[stream])
            ),
            float(sum(len(response) for _, response in given)),
            float(len(given)),
        )
        for stream, given in ROWS.items()
        if stream in module.streams_read
    }
    loss = module.loss(module.packer(rows))
    loss.backward()
    expected = _expected(case, plain.policy, start)
    expected.backward()
    assert expected.item() > 0.001
    assert loss.item() == near(expected.item(), size=8.0)
    for ours, theirs in zip(module.policy.parameters(), plain.policy.parameters(), strict=True):
        if theirs.grad is not None:
            assert ours.grad is not None
            assert torch.allclose(ours.grad, theirs.grad, atol=margin(8.0), rtol=0)


@pytest.mark.parametrize("tokens", [[], [3, -1]])
def test_tokens_of_a_refusal_are_ids(tokens) -> None:
    with pytest.raises(RecipeError, match="tokens are ids from 0"):
        JensUn(tokens=tokens)
