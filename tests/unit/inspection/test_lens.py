"""Logit lens and tuned lens, on planted cases and against plain transformers."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch
from architectures import CONFIGS
from rounding import near
from torch.nn.functional import kl_div
from transformers import AutoModelForCausalLM

from unlearnkit.data.example import Example
from unlearnkit.inspection.lens import Translators, lens_curve, lenses, tuned_lens

ROWS = [
    Example(tuple(range(3, 3 + prompt)), tuple(range(20, 20 + answer)), row, f"f.jsonl:{row + 1}")
    for row, (prompt, answer) in enumerate([(1, 4), (5, 2), (3, 1), (7, 6)])
]
NORMAL = [row._replace(prompt_ids=row.response_ids, response_ids=row.prompt_ids) for row in ROWS]


@pytest.fixture
def model():
    torch.manual_seed(0)
    found = AutoModelForCausalLM.from_config(CONFIGS["llama"]()).double().eval()
    for parameter in found.parameters():  # of random weights a block does next to nothing
        parameter.data.mul_(3)
    return found


def _of_answer(row, logits):
    """Mean log-probability of the answer's tokens, from logits ``[T, V]`` of the whole row."""
    start = len(row.prompt_ids)
    logps = logits[start - 1 : start - 1 + len(row.response_ids)].log_softmax(-1)
    return logps.gather(1, torch.tensor(row.response_ids)[:, None]).mean().item()


def _ids(row):
    return torch.tensor([[*row.prompt_ids, *row.response_ids]])


def test_a_block_is_read_by_norm_and_head_and_the_last_is_the_model_itself(model):
    found = lens_curve(model, ROWS, batch_size=3)
    with torch.no_grad():
        early, own = [], []
        for row in ROWS:
            out = model(_ids(row), output_hidden_states=True)
            early.append(_of_answer(row, model.lm_head(model.model.norm(out.hidden_states[1]))[0]))
            own.append(_of_answer(row, out.logits[0]))
    assert found == [near(fmean(early), size=10.0), near(fmean(own), size=10.0)]
    assert abs(found[0] - found[1]) > 0.01


def test_maps_that_do_nothing_are_the_logit_lens_and_others_are_added(model):
    width = model.config.hidden_size
    plain = lens_curve(model, ROWS)
    nothing = Translators(torch.zeros(1, width, width), torch.zeros(1, width))
    assert lens_curve(model, ROWS, nothing) == [near(value, size=10.0) for value in plain]
    states = torch.arange(2.0 * width).view(2, width)
    twice = Translators(torch.eye(width)[None], torch.ones(1, width))
    assert torch.equal(twice(states, 0), 2 * states + 1)
    assert twice(states, 1) is states


def test_the_first_step_goes_against_the_gradient_of_the_divergence(model):
    gradients = torch.zeros(model.config.hidden_size, dtype=torch.float64)
    for row in NORMAL:
        with torch.no_grad():
            out = model(_ids(row), output_hidden_states=True)
        start = len(row.prompt_ids) - 1
        asked = slice(start, start + len(row.response_ids))
        states = out.hidden_states[1][0, asked].clone().requires_grad_()
        read = model.lm_head(model.model.norm(states)).log_softmax(-1)
        own = out.logits[0, asked].log_softmax(-1)
        kl_div(read, own, log_target=True, reduction="sum").backward()
        gradients += states.grad.sum(0)
    found = tuned_lens(model, NORMAL, steps=1, lr=0.01)
    large = gradients.abs() > 1e-6  # Adam's first step is the rate, whatever the gradient's size
    assert large.sum() > 10
    assert torch.allclose(found.bias[0][large].double(), -0.01 * gradients[large].sign(), rtol=1e-3)


def test_training_brings_the_lens_nearer_and_leaves_the_model_alone(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.model.norm.weight.requires_grad_(False)
    own, plain = lens_curve(model, NORMAL)[-1], lens_curve(model, NORMAL)[0]
    found = tuned_lens(model, NORMAL, steps=60, lr=0.01)
    tuned, last = lens_curve(model, NORMAL, found)
    assert last == near(own, size=10.0)
    assert abs(tuned - own) < 0.5 * abs(plain - own)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    frozen = {name for name, each in model.named_parameters() if not each.requires_grad}
    assert frozen == {"model.norm.weight"}
    assert all(each.grad is None for each in model.parameters())
    again = tuned_lens(model, NORMAL, steps=60, lr=0.01)
    assert torch.equal(found.weight, again.weight)


def test_a_lens_that_cannot_be_had_is_named(model):
    models = {"before": model}
    curves, notes = lenses(models, ROWS, NORMAL, steps=1)
    assert (set(curves), notes) == ({"logit", "tuned"}, [])
    curves, notes = lenses(models, ROWS, [], steps=1)
    assert (set(curves), len(notes)) == ({"logit"}, 1)
    assert "no normal rows" in notes[0]
    assert lenses(models, ROWS, [], steps=0) == (curves, [])
    model.model.norm = torch.nn.Identity()
    curves, notes = lenses(models, ROWS, NORMAL, steps=1)
    assert curves == {}
    assert "no final norm that is known" in notes[0]
