"""Loading: where an adapter's base is looked up."""

from __future__ import annotations

import pytest
import torch
import yaml
from peft import LoraConfig
from stub import save_stub, stub_model

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import add_adapter, load_config, load_model


def test_the_base_of_a_runs_adapter_is_the_one_its_recipe_names(tmp_path) -> None:
    """The adapter names a folder that is gone; the run's recipe knows better."""
    save_stub({"random_init": 1}, tmp_path / "base")
    adapter = add_adapter(
        stub_model({"random_init": 1}), LoraConfig(r=2, target_modules=["q_proj"])
    )
    adapter.peft_config["default"].base_model_name_or_path = str(tmp_path / "gone")
    adapter.save_pretrained(tmp_path / "run" / "model")
    recipe = {"model": {"base": {"path": str(tmp_path / "base"), "dtype": "float32"}}}
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    model = load_model(BaseModel(str(tmp_path / "run"), dtype="bfloat16"))
    assert str(model.dtype) == "torch.bfloat16"
    assert all(p.requires_grad for p in model.parameters())


def test_the_first_blocks_of_an_adapters_model_have_the_adapter(tmp_path) -> None:
    torch.manual_seed(0)
    save_stub({"random_init": 1, "layers": 3}, tmp_path / "base")
    adapter = add_adapter(
        load_model(str(tmp_path / "base")), LoraConfig(r=2, target_modules=["q_proj", "down_proj"])
    )
    adapter.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    for name, parameter in adapter.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter)
    adapter.save_pretrained(tmp_path / "adapter")
    cut = BaseModel(str(tmp_path / "adapter"), first_blocks=2, attn_implementation="eager")
    model, whole = load_model(cut), load_model(str(tmp_path / "adapter"))
    assert load_config(cut).num_hidden_layers == model.config.num_hidden_layers == 2
    assert whole.config.num_hidden_layers == 3
    assert model.config._attn_implementation == "eager"
    del whole.model.layers[2:]
    whole.config.num_hidden_layers = 2
    whole.set_attn_implementation("eager")
    ids = torch.tensor([[1, 2, 3, 4]])
    torch.testing.assert_close(model(ids).logits, whole(ids).logits, rtol=0, atol=0)
    assert not model.training
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(RecipeError, match="first_blocks: expected 1 to 3, found 4"):
        load_model(BaseModel(str(tmp_path / "adapter"), first_blocks=4))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"modules_to_save": ["nope"]}, "modules_to_save: no module of the model is named nope"),
        ({"trainable_token_indices": [1, 99999]}, r"expected ids of 0 to \d+, found 99999"),
    ],
)
def test_what_peft_would_skip_or_fail_at_is_refused(setting, said) -> None:
    model = stub_model({"random_init": 1})
    with pytest.raises(RecipeError, match=said):
        add_adapter(model, LoraConfig(r=2, target_modules=["q_proj"], **setting))


def test_a_file_is_no_model(tmp_path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    with pytest.raises(RecipeError, match=r"rows\.jsonl' is a file, expected the folder"):
        load_model(str(tmp_path / "rows.jsonl"))


@pytest.mark.parametrize("config", ["{", "[]"])
def test_a_broken_config_is_named(tmp_path, config) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(RecipeError, match=r"config\.json is no JSON object"):
        load_model(str(tmp_path))
