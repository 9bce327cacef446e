from __future__ import annotations

import pytest
import torch
from architectures import tiny_model
from peft import LoraConfig, get_peft_model

from unlearnkit.engine.generation.backends.saved import (
    refuse_unreadable,
    saved_as,
    saved_model,
)
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel, Offset
from unlearnkit.models.loaded import LoadedModel


def test_a_model_is_that_of_its_folder_until_a_weight_changes() -> None:
    model = tiny_model("llama")
    with pytest.raises(RecipeError, match="this one is in no folder"):
        saved_model(model)
    assert saved_as(model, "tiny") is model
    assert saved_model(model).path.endswith("model")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.tensor([[5, 6, 7]])).logits.sum().backward()
    optimizer.step()
    with pytest.raises(RecipeError, match="has changed since it was read or saved"):
        saved_model(model)


def test_what_vllm_would_read_otherwise_is_refused_by_its_key(tmp_path) -> None:
    get_peft_model(tiny_model("llama"), LoraConfig()).save_pretrained(tmp_path)
    for base, what in (
        (str(tmp_path), "is an adapter"),
        (BaseModel("tiny", quantization="4bit"), "is quantised"),
        (BaseModel("tiny", first_blocks=1), "first blocks"),
        (BaseModel("tiny", offset=Offset("tiny")), "composite model"),
        (BaseModel("tiny", gguf_file="m.gguf"), "GGUF"),
        (LoadedModel(tiny_model("llama")), "in memory"),
    ):
        with pytest.raises(RecipeError, match=f"vllm: gold .*{what}"):
            refuse_unreadable(base, "gold")
    refuse_unreadable("tiny")
