from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tests.families import tiny_family
from tests.stub import stub_model, stub_tokenizer
from unlearnkit.edits.matching import config_problems
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.check import check_whole
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.headers import refuse_impossible
from unlearnkit.models.load import add_adapter, load_config, load_model


@pytest.fixture
def folder(tmp_path) -> Path:
    """A model of vocabulary 10, width 16 and two layers."""
    place = tmp_path / "model"
    stub_model({"random_init": 3}).save_pretrained(place)
    stub_tokenizer().save_pretrained(place)
    return place


def test_a_whole_model_belongs_to_its_config(folder) -> None:
    refuse_impossible(load_config(str(folder)), BaseModel(str(folder)))


@pytest.mark.parametrize("family", ["gemma4_text", "gpt2"])
def test_blocks_that_differ_and_other_names_of_a_size(family, tmp_path) -> None:
    tiny_family(family).save_pretrained(tmp_path)
    stub_tokenizer().save_pretrained(tmp_path)
    check_whole(str(tmp_path))
    base, config = BaseModel(str(tmp_path)), load_config(str(tmp_path))
    config.vocab_size = 10**7
    with pytest.raises(RecipeError, match=r"vocab_size 10000000 of hidden_size [1-9]"):
        refuse_impossible(config, base)
    assert not list(config_problems(base, [BaseModel(str(tmp_path))]))


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"vocab_size": 10**7}, "vocab_size 10000000 of hidden_size 16"),
        ({"hidden_size": 10**7}, "of hidden_size 10000000"),
        ({"intermediate_size": 10**7}, "intermediate_size 10000000"),
        ({"num_hidden_layers": 10**7}, "num_hidden_layers 10000000"),
        ({"head_dim": 10**7}, "heads of 20000000 together"),
        ({"num_key_value_heads": 10**7}, "parameters of hidden_size 16"),
    ],
)
def test_a_config_of_other_sizes_is_refused_before_memory_is_taken(folder, values, said) -> None:
    change(folder / "config.json", **values)
    for load in (load_model, check_whole):
        with pytest.raises(RecipeError, match="does not belong to the weights") as caught:
            load(str(folder))
        assert said in caught.value.message
        # 2 · (4 · 16² + 3 · 16 · 32 + 2 · 16) + 16 + 2 · 10 · 16
        assert "hold 5,520 numbers in 21 tensors" in caught.value.message


@pytest.mark.parametrize(
    "content",
    [b"", b"x" * 50, struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 10**5) + b"[" * 10**5],
    ids=["empty", "garbage", "huge header", "nested"],
)  # fmt: skip
def test_broken_weights_are_a_mistake_of_the_recipe(folder, content) -> None:
    (folder / "model.safetensors").write_bytes(content)
    for load in (load_model, check_whole):
        with pytest.raises(RecipeError, match="holds no model that can be loaded"):
            load(str(folder))


@pytest.mark.parametrize(
    "values", [{"hidden_size": "16"}, {"initializer_range": 9}, {"model_type": {}}]
)
def test_values_of_other_types_are_a_mistake_of_the_recipe(folder, values) -> None:
    change(folder / "config.json", **values)
    with pytest.raises(RecipeError, match=r"model\.base: "):
        load_config(str(folder))


def test_a_nested_config_is_a_mistake_of_the_recipe(folder) -> None:
    (folder / "config.json").write_text('{"model_type": ' + "[" * 10**5)
    with pytest.raises(RecipeError):
        load_config(str(folder))


def test_weights_stored_as_whole_numbers_are_refused(folder) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"F32"', b'"I32"', 1))
    with pytest.raises(RecipeError, match="is stored as I32, expected floating-point numbers"):
        load_model(str(folder))


def test_an_empty_vocabulary_is_refused(folder) -> None:
    empty = Tokenizer(models.WordLevel({}, unk_token="?"))
    PreTrainedTokenizerFast(tokenizer_object=empty).save_pretrained(folder)
    with pytest.raises(RecipeError, match=r"no tokenizer .*its vocabulary is empty"):
        load_tokenizer(str(folder))


@pytest.fixture
def adapter(folder, tmp_path) -> Path:
    place = tmp_path / "adapter"
    lora = LoraConfig(r=2, target_modules=["q_proj"])
    add_adapter(load_model(str(folder)), lora).save_pretrained(place)
    return place


def test_an_adapter_without_a_tokenizer_is_told_as_that(adapter) -> None:
    with pytest.raises(RecipeError, match="holds no tokenizer that can be loaded") as caught:
        load_tokenizer(str(adapter))
    assert "Set data.tokenizer" in str(caught.value.hint)


def test_an_adapter_that_names_itself_is_refused(adapter, tmp_path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    for first, second in ((adapter, adapter), (other, adapter)):
        change(adapter / "adapter_config.json", base_model_name_or_path=str(first))
        change(other / "adapter_config.json", base_model_name_or_path=str(second))
        for load in (load_model, load_config, check_whole, model_fingerprint):
            with pytest.raises(RecipeError, match="names itself"):
                load(str(adapter))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"peft_type": {}}', '{"r": "x"}'])
def test_a_broken_adapter_config_is_a_mistake_of_the_recipe(adapter, content) -> None:
    (adapter / "adapter_config.json").write_text(content)
    for load in (load_model, load_config, check_whole):
        with pytest.raises(RecipeError):
            load(str(adapter))


def test_a_rank_that_the_file_cannot_hold_is_refused_before_memory_is_taken(adapter) -> None:
    for values in ({"r": 10**9}, {"r": 2, "rank_pattern": {"q_proj": 10**9}}):
        change(adapter / "adapter_config.json", **values)
        with pytest.raises(RecipeError, match="rank 1000000000, and its file holds 128 numbers"):
            load_model(str(adapter))


def test_a_pickled_adapter_is_refused(adapter) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    for load in (load_model, check_whole):
        with pytest.raises(RecipeError, match="adapter"):
            load(str(adapter))
