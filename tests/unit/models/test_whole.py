"""No weight of a model is filled at random: what its files lack is named, and refused."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch
from edited import offset_model
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from stub import save_stub, stub_model
from transformers import AutoModelForCausalLM, BertConfig, BertForSequenceClassification, BertModel

from unlearnkit.cli.main import main
from unlearnkit.edits.weights import open_weights
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.metrics.judged import Harmfulness
from unlearnkit.models.base import BaseModel, as_base_model
from unlearnkit.models.check import check_whole
from unlearnkit.models.composite.encoder import load_encoder
from unlearnkit.models.composite.gated_folder import with_adapters
from unlearnkit.models.load import load_model

NORM, DOWN = "model.norm.weight", "model.layers.0.mlp.down_proj.weight"


def _edit(folder: Path, *left_out: str, file: str = "model.safetensors", **put: torch.Tensor):
    """Writes the file anew without some of its tensors, and with others."""
    tensors = load_file(folder / file)
    kept = {name: value for name, value in tensors.items() if name not in left_out}
    assert len(kept) == len(tensors) - len(left_out)
    save_file({**kept, **put}, folder / file, {"format": "pt"})
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_stub({"random_init": 1}, tmp_path / "base")


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("names", [[DOWN], [NORM, DOWN], ["lm_head.weight"]])
@pytest.mark.parametrize("look", [load_model, check_whole])
def test_what_a_folder_lacks_is_named(base: Path, names: list[str], look) -> None:
    _edit(base, *names)
    count = "1 weight" if len(names) == 1 else "2 weights"
    with pytest.raises(RecipeError) as refusal:
        look(str(base))
    assert refusal.value.message == (
        f"model.base: {base} lacks {count} of LlamaForCausalLM, which would be filled at random: "
        f"{', '.join(sorted(names))}"
    )


@pytest.mark.parametrize("look", [load_model, check_whole])
def test_a_weight_of_another_shape_is_named(base: Path, look) -> None:
    _edit(base, **{NORM: torch.ones(5)})
    expected = r"has 1 weight of another shape: model.norm.weight \(\[5\] in place of \[16\]\)"
    with pytest.raises(RecipeError, match=expected):
        look(str(base))


def test_a_head_tied_to_the_embedding_is_not_missing(tmp_path: Path) -> None:
    folder = save_stub({"random_init": 1, "tie": True}, tmp_path / "tied")
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    model = load_model(str(folder))
    expected = stub_model({"random_init": 1, "tie": True})
    ids = torch.tensor([[4, 5, 6]])
    assert torch.equal(model(ids).logits, expected(ids).logits)


def test_the_first_blocks_of_a_model_are_whole(base: Path) -> None:
    cut = BaseModel(str(base), first_blocks=1)
    check_whole(cut)
    assert load_model(cut).config.num_hidden_layers == 1
    _edit(base, DOWN)
    with pytest.raises(RecipeError, match=DOWN):
        load_model(cut)


def test_what_the_model_does_not_read_is_told_once(base: Path, caplog) -> None:
    _edit(base, extra=torch.ones(3), **{"model.layers.9.up.weight": torch.ones(2)})
    check_whole(str(base))
    with caplog.at_level(logging.WARNING):
        load_model(str(base))
    told = "has 2 weights that LlamaForCausalLM does not read: extra, model.layers.9.up.weight"
    assert [record.getMessage() for record in caplog.records] == [f"{base} {told}"]


def test_a_torn_file_is_refused(base: Path) -> None:
    file = base / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(RecipeError, match="holds no model that can be loaded"):
        load_model(str(base))


def test_an_adapter_that_lacks_a_weight_is_refused_wherever_it_is_read(
    base: Path, adapter: Path
) -> None:
    name = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"
    file = adapter / "adapter_model.safetensors"
    load_model(str(adapter))
    _edit(adapter, name, file=file.name)
    expected = f"lacks 1 weight of the adapter.*filled at random: {name}"
    for look in (load_model, check_whole, open_weights):
        with pytest.raises(UserError, match=expected):
            look(str(adapter))
    with pytest.raises(RecipeError, match=expected):
        with_adapters(load_model(str(base)), {"one": adapter})
    file.unlink()
    with pytest.raises(RecipeError, match=r"the adapter in .* cannot be loaded"):
        load_model(str(adapter))


def test_a_base_that_lacks_a_weight_is_refused_below_an_adapter(base: Path, adapter: Path) -> None:
    _edit(base, DOWN)
    for look in (load_model, check_whole):
        with pytest.raises(RecipeError, match=f"{base} lacks 1 weight"):
            look(str(adapter))


def test_a_part_that_lacks_a_weight_is_refused(tmp_path: Path, base: Path) -> None:
    small = _edit(save_stub({"random_init": 2}, tmp_path / "small"), NORM)
    with pytest.raises(UserError, match=f"{small} lacks 1 weight of LlamaForCausalLM"):
        offset_model(str(base), str(small), str(base), tmp_path / "out")
    made = offset_model(str(base), str(base), str(small), tmp_path / "out")
    with pytest.raises(RecipeError, match=r"its part 'small' cannot be used: .*lacks 1 weight"):
        load_model(str(made))


def _bert(**given) -> BertConfig:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return BertConfig(vocab_size=20, intermediate_size=16, **sizes, **given)


def test_an_encoder_needs_no_pooler_and_all_else(tmp_path: Path) -> None:
    save_stub(None, tmp_path / "tokens")
    folder = save_stub(None, tmp_path / "encoder")
    BertModel(_bert(), add_pooling_layer=False).save_pretrained(folder)
    load_encoder(str(folder), None)
    _edit(folder, "encoder.layer.0.output.dense.bias")
    with pytest.raises(RecipeError, match=r"lacks 1 weight of BertModel.*output\.dense\.bias"):
        load_encoder(str(folder), None)


def test_a_judge_whose_head_was_never_trained_is_refused(tmp_path: Path) -> None:
    folder = save_stub(None, tmp_path / "judge")
    BertForSequenceClassification(_bert()).save_pretrained(folder)
    Harmfulness(str(folder), "LABEL_1").check()
    _edit(folder, "classifier.weight", "classifier.bias")
    with pytest.raises(RecipeError, match=r"harmfulness: .*lacks 2 weights of BertForSeq"):
        Harmfulness(str(folder), "LABEL_1").check()


@pytest.mark.parametrize("key", ["model.base", "reference", "gold"])
def test_evaluate_and_fit_refuse_any_of_their_models_at_once(
    key: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    broken = tmp_path / "broken"
    shutil.copytree(as_base_model("tiny").path, broken)
    _edit(broken, NORM)
    names = ("model.base", "reference", "gold")
    model, reference, gold = (str(broken) if name == key else "tiny" for name in names)
    suite = "{name: copyright, limit: 1, max_new_tokens: 1}"
    compared = ("--reference", reference, "--gold", gold)
    assert main(["evaluate", model, "--suite", suite, *compared, "--out", "out"]) == 2
    trained = ("--model.base", model, "--gold", gold, "--evaluate", suite)
    if key != "reference":  # of a fit it is the model itself
        assert main(["fit", "--recipe", "copyright", *trained]) == 2
    said = capsys.readouterr()
    assert said.err.count("lacks 1 weight of LlamaForCausalLM") == (1 if key == "reference" else 2)
    assert key in said.err
    assert "Traceback" not in said.err
    assert {path.parent for path in tmp_path.glob("**/*.json*")} == {broken}  # nothing was measured
