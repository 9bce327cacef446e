from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from architectures import tiny_model
from rounding import margin, near
from short_fits import objective
from stub import stub_model

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.layout import (
    choose_layout,
    declared_refusal,
    layouts_of,
    packed_refusal,
)
from unlearnkit.errors import RecipeError
from unlearnkit.module import UnlearningModule


def test_a_plain_model_is_packed_unless_rows_are_asked_for() -> None:
    model = stub_model({"random_init": 1})
    assert choose_layout(model, "auto")[0] == "packed"
    assert choose_layout(model, "rows") == ("rows", "as asked")
    assert packed_refusal(model) is None


def test_what_a_model_says_of_itself_is_the_reason_for_rows() -> None:
    model = stub_model({"random_init": 1})
    model.config.layer_types = ["full_attention", "linear_attention"]
    assert declared_refusal(model) == "it has linear_attention layers"
    assert choose_layout(model, "auto") == ("rows", "it has linear_attention layers")
    with pytest.raises(RecipeError, match="cannot be packed: it has linear_attention layers"):
        choose_layout(model, "packed")


def test_only_auto_on_a_cpu_may_change_from_step_to_step() -> None:
    model = stub_model({"random_init": 1})
    found = layouts_of(model, "auto")
    assert (found.whole, found.steps) == ("packed", "auto")
    assert "a step with neither padding nor equal prompts is run in rows" in found.reason
    assert layouts_of(model, "packed").steps == "packed"
    assert layouts_of(model, "rows").steps == "rows"
    assert layouts_of(model, "auto", compiled=True).steps == "packed"
    gpu = SimpleNamespace(precision=32, strategy=SimpleNamespace(root_device=torch.device("cuda")))
    assert layouts_of(model, "auto", gpu).steps == "packed"


EQUAL = [((5, 6, 7, 8, 9), (11, 12, 13)), ((9, 8, 7, 6, 5), (14, 15, 16))]
RAGGED = [EQUAL[0], (EQUAL[1][0], (14,))]
SHARED = [EQUAL[0], (EQUAL[0][0], (14, 15, 16))]


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize(
    ("rows", "taken"), [(EQUAL, "rows"), (RAGGED, "packed"), (SHARED, "packed")]
)
def test_loss_and_gradient_are_the_same_whatever_auto_takes(
    name: str, rows: list[tuple[tuple[int, ...], tuple[int, ...]]], taken: str
) -> None:
    """On weights large enough for soft caps and windows to count."""
    examples = tuple(Example(p, r, row, "") for row, (p, r) in enumerate(rows))
    streams = {"forget": StreamBatch(examples, sum(len(e.response_ids) for e in examples), 2)}

    def run(layout: Any) -> tuple[float, torch.Tensor, bool]:
        model = tiny_model(name).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(4)
        module = UnlearningModule({"forget": objective("gradient_ascent")}, layout=layout)
        module.use_model(model)
        batches = module.packer(streams)
        loss = module.loss(batches)
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return float(loss.detach()), gradient, batches[0].attention is None

    loss, gradient, in_rows = run("auto")
    assert in_rows == (taken == "rows")
    for other in ("packed", "rows"):
        expected, slopes, _ = run(other)
        assert loss == near(expected)
        # Gemma's own attention, of the layout `rows`, computes weights in float32.
        assert float((gradient - slopes).norm()) <= margin(float(slopes.norm()))
