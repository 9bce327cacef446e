"""Folders that are no encoder or classifier of their own."""

from __future__ import annotations

import re

import pytest
from encoders import save_encoder
from peft import LoraConfig, get_peft_model
from stub import stub_tokenizer
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel
from unlearnkit.models.composite.classifiers import refuse_other_classes, refuse_other_labels
from unlearnkit.models.composite.encoder import load_encoder, states_of


@pytest.fixture(params=["alone", "beside a config"])
def adapter(request, tmp_path):
    """An adapter, alone or where transformers would find a config too."""
    model = AutoModelForMaskedLM.from_pretrained(save_encoder("roberta", tmp_path / "whole"))
    config = LoraConfig(r=2, target_modules=["query"])
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    if request.param != "alone":
        model.config.save_pretrained(tmp_path / "adapter")
    stub_tokenizer().save_pretrained(tmp_path / "adapter")
    return str(tmp_path / "adapter")


@pytest.mark.parametrize(
    "read",
    [
        states_of,
        lambda path: load_encoder(path, stub_tokenizer()),
        lambda path: refuse_other_classes(BaseModel(path)),
        lambda path: refuse_other_labels(BaseModel(path)),
    ],
)
def test_an_adapter_is_said_to_be_one(adapter, read) -> None:
    said = re.escape(f"{adapter}: expected a whole model, found an adapter (adapter_config.json)")
    with pytest.raises(RecipeError, match=f"^{said}\n") as caught:
        read(adapter)
    assert "unlearnkit export FOLDER OUT --merge" in str(caught.value.hint)
    assert "merge_and_unload" in str(caught.value.hint)


def test_merged_as_it_is_said_it_is_an_encoder(adapter, tmp_path) -> None:
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "whole")
    get_peft_model(model, LoraConfig(r=2, target_modules=["query"])).merge_and_unload(
    ).save_pretrained(tmp_path / "merged")  # fmt: skip
    assert states_of(str(tmp_path / "merged")) == states_of(str(tmp_path / "whole")) == 3


def test_a_folder_without_a_model_is_still_none(tmp_path) -> None:
    with pytest.raises(RecipeError, match="holds no model that can be loaded"):
        refuse_other_classes(BaseModel(str(tmp_path)))
    with pytest.raises(RecipeError, match="there is no folder"):
        states_of(str(tmp_path / "nowhere"))


def test_classes_are_counted_without_the_weights(tmp_path) -> None:
    config = AutoModelForMaskedLM.from_pretrained(save_encoder("roberta", tmp_path / "e")).config
    config.num_labels = 3
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "three")
    (tmp_path / "three" / "model.safetensors").unlink()
    with pytest.raises(RecipeError, match="expected a classifier of two classes, found 3"):
        refuse_other_classes(BaseModel(str(tmp_path / "three")))
