"""Weights are counted without being there."""

from __future__ import annotations

import pytest
from stub import stub_model

from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import LoraConfig
from unlearnkit.models.base import BaseModel, Offset
from unlearnkit.models.counted import adapter_weights, model_on_no_device


def test_a_config_is_enough(tmp_path) -> None:
    model = stub_model()
    model.config.save_pretrained(tmp_path)
    assert model_on_no_device(str(tmp_path)).num_parameters() == model.num_parameters()
    assert [each.name for each in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("start", [True, "pissa", "fila"])
def test_an_adapter_is_counted_however_it_begins(tmp_path, start) -> None:
    stub_model().config.save_pretrained(tmp_path)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=start)
    # Two blocks of a matrix of 16 x 16.
    assert adapter_weights(model_on_no_device(str(tmp_path)), lora) == 2 * 2 * (16 + 16)


def test_a_composite_model_and_a_lacking_target_are_refused(tmp_path) -> None:
    stub_model().config.save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match="composite model"):
        model_on_no_device(BaseModel(str(tmp_path), offset=Offset("tiny")))
    with pytest.raises(RecipeError, match=r"model\.lora"):
        adapter_weights(model_on_no_device(str(tmp_path)), LoraConfig(target_modules=["none"]))
