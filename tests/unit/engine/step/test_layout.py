from __future__ import annotations

import pytest
from stub import stub_model

from unlearnkit.engine.step.layout import choose_layout, declared_refusal, packed_refusal
from unlearnkit.errors import RecipeError


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
