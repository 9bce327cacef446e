"""Teacher-forced figures against plain forward passes, row by row."""

from __future__ import annotations

import math

import pytest
import torch
from rounding import margin

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.scoring import gradient_norms, score
from unlearnkit.engine.reference.kinds import frozen_copy

EXAMPLES = [
    Example((4, 5, 6), (7, 8, 3), 0, "a:1"),
    Example((4,), (5,), 1, "a:2"),
    Example((8, 7), (6, 5, 4, 4, 4, 3), 2, "a:3"),
]


@pytest.fixture
def model(make_stub):
    return make_stub({"random_init": 1})[0]


@torch.no_grad()
def plain_logs(model, example):
    """``[n, V]`` log-probabilities that predict the response."""
    ids = torch.tensor([[*example.prompt_ids, *example.response_ids]])
    return model(ids).logits[0, len(example.prompt_ids) - 1 : -1].log_softmax(-1)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_figures_are_those_of_single_rows(model, make_stub, batch_size):
    other = make_stub({"random_init": 2})[0]
    found = score(model, EXAMPLES, batch_size=batch_size, reference=frozen_copy(other))
    logs = [plain_logs(model, e) for e in EXAMPLES]
    other_logs = [plain_logs(other, e) for e in EXAMPLES]
    logps = [
        log[range(len(e.response_ids)), e.response_ids]
        for log, e in zip(logs, EXAMPLES, strict=True)
    ]
    kl = [(r.exp() * (r - p)).sum(-1) for r, p in zip(other_logs, logs, strict=True)]
    first = [
        log.argmax(-1) == torch.tensor(e.response_ids)
        for log, e in zip(logs, EXAMPLES, strict=True)
    ]
    # Log-probabilities of ten letters; the divergence is a sum of their differences.
    atol = margin(size=max(float(-log.min()) for log in logs))
    torch.testing.assert_close(found.logps, torch.cat(logps), rtol=0, atol=atol)
    torch.testing.assert_close(found.kl, torch.cat(kl), rtol=0, atol=atol)
    assert float(found.kl.min()) > 1e-4
    assert found.correct.tolist() == torch.cat(first).tolist()
    assert found.sequence.tolist() == [0] * 3 + [1] + [2] * 6
    assert found.sequences == 3


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_figures_of_64_rows_are_those_of_single_rows(model, batch_size):
    examples = [
        Example(tuple(4 + (row + i) % 5 for i in range(1 + row % 9)),
                (4 + row % 4,) * (1 + row % 6), row, "a:1")
        for row in range(64)
    ]  # fmt: skip
    found = score(model, examples, batch_size=batch_size)
    logs = [plain_logs(model, e) for e in examples]
    expected = [
        log[range(len(e.response_ids)), e.response_ids]
        for log, e in zip(logs, examples, strict=True)
    ]
    atol = margin(size=max(float(-log.min()) for log in logs))
    torch.testing.assert_close(found.logps, torch.cat(expected), rtol=0, atol=atol)


def test_nats_are_those_worked_out_by_hand(make_stub):
    # a costs 2 bits, b and EOS 3, d 4.
    found = score(make_stub()[0], [Example((4,), (4, 5, 7, 3), 0, "a:1")])
    assert (found.logps / -math.log(2)).tolist() == pytest.approx([2, 3, 4, 3], rel=1e-5)
    assert found.correct.tolist() == [True, False, False, False]


def test_divergence_from_itself_is_zero(model):
    assert score(model, EXAMPLES, reference=frozen_copy(model)).kl.abs().max() == 0


def test_modes_are_put_back(model):
    model.train()
    score(model, EXAMPLES)
    gradient_norms(model, EXAMPLES)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_scores_are_split_between_examples(model):
    found = score(model, EXAMPLES, reference=frozen_copy(model), compared=1, standardised=True)
    first, rest = found.split(1)
    assert (first.sequences, rest.sequences) == (1, 2)
    assert (first.sequence.tolist(), rest.sequence.tolist()) == ([0] * 3, [0] + [1] * 6)
    for name in ("logps", "correct", "standardised"):
        whole = torch.cat([getattr(first, name), getattr(rest, name)])
        assert torch.equal(whole, getattr(found, name))
    assert (len(first.kl), len(first.ref_logps), len(rest.kl), len(rest.ref_logps)) == (3, 3, 0, 0)
    with pytest.raises(LookupError, match="standardised=True"):
        _ = score(model, EXAMPLES).standardised


def test_first_correct_counts_up_to_the_first_token_that_is_no_first_choice(make_stub):
    # `a` is the likeliest letter everywhere.
    rows = [(4, 4, 5, 4), (5, 4), (4, 4)]
    found = score(make_stub()[0], [Example((4,), row, 0, "a:1") for row in rows])
    assert found.first_correct() == [2, 0, 2]


def test_no_examples(model):
    found = score(model, [])
    assert found.logps.shape == found.sequence.shape == (0,)
    assert found.kl is None


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_gradient_norms_by_backward(model, p):
    found = gradient_norms(model, EXAMPLES, p)
    for norm, example in zip(found, EXAMPLES, strict=True):
        model.zero_grad()
        ids = torch.tensor([[*example.prompt_ids, *example.response_ids]])
        labels = ids.clone()
        labels[:, : len(example.prompt_ids)] = -100
        model(ids, labels=labels).loss.backward()
        norms = [w.grad.norm(p).item() for w in model.parameters()]
        assert norm.item() == pytest.approx(sum(norms) / len(norms), rel=1e-4)
