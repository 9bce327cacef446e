"""Loading: where an adapter's base is looked up."""

from __future__ import annotations

import yaml
from peft import LoraConfig
from stub import save_stub, stub_model

from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import add_adapter, load_model


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
