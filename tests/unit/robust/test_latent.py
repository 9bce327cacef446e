"""Forget gradients under perturbed states, against a loop of plain transformers."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from rounding import margin
from torch import nn

from tests.unit.robust.steps import (
    LORA,
    flat,
    gradient_of,
    step_module,
    step_rows,
    tokens_of,
    trained,
)  # fmt: skip
from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.perturbation import Perturbation
from unlearnkit.errors import RecipeError
from unlearnkit.robust import LAT, SAM

ASCENT = {"forget": "gradient_ascent", "retain": "retain_nll"}
# Small enough a ball for the last steps to end on its surface, and not the first.
METHOD = {"steps": 3, "epsilon": 0.3, "rate": 0.05}


def _plain(blocks, steps, epsilon, rate) -> torch.Tensor:
    """The forget gradient by transformers alone: rows padded, the shared prompt's vectors one."""
    module = step_module({"forget": "gradient_ascent"})
    model = module.policy
    # Of the rows 1 2 | 3 4, 2 1 | 4 3 2 and 1 2 | 4 4; a last token is never an input.
    ids = torch.tensor([[1, 2, 3, 0], [2, 1, 4, 3], [1, 2, 4, 0]])
    owner = torch.tensor([[0, 1, 2, 9], [3, 4, 5, 6], [0, 1, 7, 9]])
    places = [(0, 1, 3), (0, 2, 4), (1, 1, 4), (1, 2, 3), (1, 3, 2), (2, 1, 4), (2, 2, 4)]
    vectors = {block: nn.Parameter(torch.zeros(10, 16)) for block in blocks}

    def loss() -> torch.Tensor:
        handles = [
            model.model.layers[block].register_forward_hook(
                lambda _m, _i, output, v=vector: output + v[owner]
            )
            for block, vector in vectors.items()
        ]
        logps = model(input_ids=ids, attention_mask=(owner != 9).long()).logits.log_softmax(-1)
        for each in handles:
            each.remove()
        return torch.stack([logps[place] for place in places]).mean()

    adversary = torch.optim.AdamW(list(vectors.values()), lr=rate)
    lengths = []
    for _ in range(steps):
        adversary.zero_grad()
        (-loss()).backward()
        adversary.step()
        for vector in vectors.values():
            lengths.append(vector[:9].norm(dim=-1).max().item())
            vector.data *= (epsilon / vector.norm(dim=-1, keepdim=True)).clamp(max=1)
    assert lengths[0] < epsilon < lengths[-1]
    parameters = trained(module)
    return flat(torch.autograd.grad(loss(), parameters))


@pytest.mark.parametrize("blocks", [[0], [1], [0, 1]])
@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_it_is_the_loop_of_plain_transformers(blocks, layout) -> None:
    expected = _plain(blocks, **METHOD)
    method = LAT(blocks=blocks, **METHOD)
    found = gradient_of(step_module({"forget": "gradient_ascent"}, robust=method, layout=layout))
    plain = gradient_of(step_module({"forget": "gradient_ascent"}))
    assert (plain - expected).norm() > 0.05 * plain.norm()
    assert torch.allclose(found, expected, atol=margin(8.0), rtol=0)


@pytest.mark.parametrize("lora", [None, LORA], ids=["weights", "lora"])
@pytest.mark.parametrize("tokens", [1, 7])
def test_parts_and_layouts_have_one_gradient(lora, tokens) -> None:
    """The tree of the shared prompt is cut in two by parts of one token."""
    found = []
    for layout, most in (("packed", None), ("packed", tokens), ("rows", tokens)):
        module = step_module(
            lora=lora, layout=layout, max_tokens_per_micro_batch=most, robust=LAT(**METHOD)
        )
        torch.manual_seed(5)
        with torch.no_grad():
            for each in trained(module):
                each.add_(torch.randn_like(each), alpha=0.1)
        found.append(gradient_of(module))
    for other in found[1:]:
        assert torch.allclose(found[0], other, atol=margin(8.0), rtol=0)


def test_the_reference_is_not_perturbed() -> None:
    """With the adapter off it is the policy's own model, and a copy of it is not."""
    plain = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    gradients = []
    for kind in ("adapter_off", "frozen"):
        module = step_module(lora=plain, reference=kind, robust=LAT(**METHOD))
        torch.manual_seed(5)
        with torch.no_grad():
            for each in trained(module):
                each.copy_(torch.randn_like(each) * 0.3)
        gradients.append(gradient_of(module))
    assert torch.allclose(*gradients, atol=margin(8.0), rtol=0)


def test_it_costs_its_steps_times_the_forget_rows() -> None:
    counted = {}
    for steps in (None, 6):
        module = step_module(
            {"forget": "npo", "retain": "retain_nll"},
            robust=None if steps is None else LAT(steps=steps),
        )
        batches = module.packer(step_rows(module))
        with tokens_of(module) as seen:
            module.loss(batches).backward()
        counted[steps] = seen[0]
    # Packed, the forget rows are 8 inputs (the shared prompt once), the retain rows 8.
    assert counted[None] == 14  # and of both streams the shared prompt once
    assert counted[6] <= 1.1 * 14 * (1 + 6 * 8 / 14)


def test_what_is_logged_is_of_the_states_as_they_are() -> None:
    plain, robust = step_module(), step_module(robust=LAT(**METHOD))
    losses = [each.loss(each.packer(step_rows(each))).item() for each in (plain, robust)]
    assert losses[1] == pytest.approx(losses[0], abs=margin(8.0))
    assert robust.perturbation is None


def test_the_block_is_at_three_eighths_of_the_depth() -> None:
    gradients = [
        gradient_of(step_module(ASCENT, robust=LAT(blocks=blocks, **METHOD)))
        for blocks in (None, [0], [1])
    ]
    assert gradients[0].equal(gradients[1])  # of two blocks the first
    assert not gradients[0].equal(gradients[2])


@pytest.mark.parametrize("method", [LAT(**METHOD), SAM()])
def test_a_process_without_forget_rows_takes_the_other_terms(method) -> None:
    robust, plain = step_module(ASCENT, robust=method), step_module(ASCENT)
    for module in (robust, plain):
        rows = {**step_rows(module), "forget": StreamBatch((), 7.0, 3.0)}
        module.loss(module.packer(rows)).backward()
    for ours, theirs in zip(trained(robust), trained(plain), strict=True):
        assert ours.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, atol=margin(8.0), rtol=0)


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_inputs_have_numbers_in_order_and_last_tokens_too_where_they_are_inputs(layout) -> None:
    """Prompt 1 2 has the numbers 1 and 2, its responses 3 4 and 10 11."""
    rows = step_rows(step_module({"forget": "npo"}))
    for keep_last in (False, True):
        batch = pack(rows, layout, keep_last)
        found = Perturbation([0], [batch]).numbers(batch)
        last = keep_last
        responses = [
            [1, 2, 3, 4][: 3 + last],
            [5, 6, 7, 8, 9][: 4 + last],
            [1, 2, 10, 11][: 3 + last],
        ]
        if layout == "packed":
            # The prompt of two responses, the other prompt with its one, then the two.
            expected = [1, 2] + responses[1] + responses[0][2:] + responses[2][2:]
        else:
            width = max(map(len, responses))
            expected = [n for row in responses for n in row + [0] * (width - len(row))]
        assert found.tolist() == expected


def test_states_of_another_form_are_refused() -> None:
    batch = pack(step_rows(step_module({"forget": "npo"})))
    blocks = nn.ModuleList([nn.Unflatten(0, (1, -1))])
    with (
        Perturbation([0], [batch]).added(blocks, batch),
        pytest.raises(RecipeError, match=r"Unflatten gives .* not one state a token"),
    ):
        blocks[0](torch.zeros(3, 16))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"steps": 0}, "steps must be at least 1, found 0"),
        ({"epsilon": 0.0}, "epsilon must be above 0"),
        ({"rate": float("nan")}, "rate must be above 0"),
        ({"blocks": []}, "blocks must be numbers"),
        ({"blocks": [-1]}, r"found \[-1\]"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, said) -> None:
    with pytest.raises(RecipeError, match=said):
        LAT(**arguments)
