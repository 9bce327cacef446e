"""LUNAR: one weight of a model is changed, by what its layer sees."""

from __future__ import annotations

import json

import pytest
import torch
from architectures import tiny_model
from edited import lunar_model
from safetensors.torch import load_file, save_file
from stub import save_stub, stub_tokenizer
from transformers import AutoModelForCausalLM

from unlearnkit.data.example import Example
from unlearnkit.errors import UserError
from unlearnkit.functional.lunar import descended, redirection
from unlearnkit.models.load import load_model

WEIGHT = "model.layers.1.mlp.down_proj.weight"


def rows(*prompts, response=(7, 8, 3)):
    return [Example(tuple(p), response, i, f"rows:{i + 1}") for i, p in enumerate(prompts)]


FORGET, RETAIN = rows((4, 5, 6), (5, 4)), rows((7, 8), (8, 8, 6), (9, 7))
REFUSED = rows((9, 9), (9, 4, 9))


@pytest.fixture
def base(tmp_path):
    save_stub({"random_init": 1}, tmp_path / "base")
    return tmp_path / "base"


def make(base, out="out", forget=FORGET, retain=RETAIN, refused=REFUSED, **options):
    options = {"layer": 1, **options}
    return lunar_model(str(base), forget, retain, refused, base.parent / out, **options)


def seen(model, row, responses):
    """Inputs of the layer, and the block's output at the last prompt token, by plain hooks."""
    block, found = model.model.layers[1], {}
    block.mlp.down_proj.register_forward_pre_hook(lambda _, given: found.update(a=given[0][0]))
    block.register_forward_hook(lambda _, __, out: found.update(h=out[0]))
    ids = [*row.prompt_ids, *row.response_ids[:-1]] if responses else list(row.prompt_ids)
    with torch.no_grad():
        model(torch.tensor([ids]))
    return found["a"].double(), found["h"][len(row.prompt_ids) - 1].double()


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize(("weight", "ridge"), [(1.0, 0.0), (0.5, 0.1)])
def test_one_weight_is_changed_by_the_formula(base, responses, weight, ridge):
    out = make(base, coefficient=3.0, retain_weight=weight, ridge=ridge, responses=responses)
    model = AutoModelForCausalLM.from_pretrained(base)
    kinds = [[seen(model, row, responses) for row in some] for some in (FORGET, RETAIN, REFUSED)]
    forget, retain = (torch.cat([a for a, _ in kind]) for kind in kinds[:2])
    r = torch.stack([h for _, h in kinds[2]]).mean(0) - torch.stack([h for _, h in kinds[0]]).mean(
        0
    )
    gram = forget.T @ forget + weight * retain.T @ retain
    v = redirection(forget.sum(0), gram, ridge * float(gram.diagonal().mean()))
    before, after = (load_file(each / "model.safetensors") for each in (base, out))
    assert before.keys() == after.keys()
    assert [n for n in before if not torch.equal(before[n], after[n])] == [WEIGHT]
    expected = (before[WEIGHT].double() + 3.0 * torch.outer(r, v)).float()
    torch.testing.assert_close(after[WEIGHT], expected)
    record = json.loads((out / "edit.json").read_text())
    assert record["tokens"] == {"forget": len(forget), "retain": len(retain)} | {
        "refused": sum(len(a) for a, _ in kinds[2])
    }
    assert record["moved"]["forget"] == pytest.approx((forget @ v).square().mean().sqrt().item())


def test_without_a_step_nothing_moves(base):
    out = make(base, coefficient=0.0)
    before, after = (load_file(each / "model.safetensors") for each in (base, out))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_last_forget_token_comes_where_the_refused_are(base):
    """With room for all tokens and nothing in their way the block's mean output is the target."""
    out = make(base, forget=FORGET[:1], retain=RETAIN[:1], coefficient=1.0)
    edited, plain = load_model(str(out)), load_model(str(base))
    target = torch.stack([seen(plain, row, False)[1] for row in REFUSED]).mean(0)
    torch.testing.assert_close(seen(edited, FORGET[0], False)[1], target, rtol=1e-4, atol=1e-4)
    kept = seen(plain, RETAIN[0], False)[1]
    torch.testing.assert_close(seen(edited, RETAIN[0], False)[1], kept, rtol=1e-4, atol=1e-4)


def test_the_dtype_is_the_base_s(base):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model.save_pretrained(base.parent / "half")
    stub_tokenizer().save_pretrained(base.parent / "half")
    made = load_file(make(base.parent / "half") / "model.safetensors")
    assert {each.dtype for each in made.values()} == {torch.bfloat16}


def test_all_that_is_wrong_is_said_before_a_model_is_loaded(base, monkeypatch):
    monkeypatch.setattr("unlearnkit.edits.lunar.load_model", None)
    with pytest.raises(UserError) as caught:
        make(base, retain=[], layer=2, coefficient=float("nan"), ridge=-1.0)
    message = str(caught.value)
    assert "--layer: expected 0 to 1, found 2" in message
    assert "--coefficient: expected a finite number, found nan" in message
    assert "--ridge: expected a finite number of at least 0, found -1.0" in message
    assert "--retain: expected at least one row" in message
    (base.parent / "out").mkdir()
    (base.parent / "out" / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="not empty"):
        make(base)


def test_a_layer_that_is_not_there_gets_those_that_are(base, monkeypatch):
    monkeypatch.setattr("unlearnkit.edits.lunar.load_model", None)
    with pytest.raises(UserError) as caught:
        make(base, module="mlp.up_proj")
    assert "It has self_attn.q_proj" in str(caught.value)
    assert "mlp.down_proj" in str(caught.value)
    assert not (base.parent / "out").exists()


def test_another_architecture_has_another_layer(base):
    folder = base.parent / "neox"
    tiny_model("gpt-neox").save_pretrained(folder)
    stub_tokenizer().save_pretrained(folder)
    out = make(folder, module="mlp.dense_4h_to_h")
    before, after = (load_file(each / "model.safetensors") for each in (folder, out))
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["gpt_neox.layers.1.mlp.dense_4h_to_h.weight"]


def test_a_weight_that_has_another_name_on_disk_is_not_passed_over(base):
    """Transformers loads files without the prefix of the model's body too."""
    file = base / "model.safetensors"
    short = {name.removeprefix("model."): each for name, each in load_file(file).items()}
    save_file(short, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"its files have no tensor {WEIGHT}"):
        make(base)
    assert not (base.parent / "out").exists()


def test_prompts_that_give_no_direction_are_refused(base):
    with pytest.raises(UserError, match="no direction from one to the other"):
        make(base, refused=FORGET)
    assert not (base.parent / "out").exists()


def test_rows_and_weights_that_the_model_cannot_take_are_refused_before_it_is_loaded(
    base, monkeypatch
):
    monkeypatch.setattr("unlearnkit.edits.lunar.load_model", None)
    folder = base.parent / "opt"
    tiny_model("opt").save_pretrained(folder)
    stub_tokenizer().save_pretrained(folder)
    with pytest.raises(UserError, match="rows:2: expected at most 128 tokens, found 129"):
        make(folder, module="fc2", retain=rows((4, 5), [4] * 126))
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="quantised weights"):
        make(base)


def test_it_can_be_trained_as_published(base):
    """Of the same inputs, direction and constants, by the function that is tested by hand."""
    options = {"coefficient": 3.0, "epochs": 4, "lr": 0.02, "batch_size": 3, "seed": 5}
    out = make(base, **options)
    model = AutoModelForCausalLM.from_pretrained(base)
    kinds = [[seen(model, row, False) for row in some] for some in (FORGET, RETAIN, REFUSED)]
    forget, retain = (torch.cat([a for a, _ in kind]) for kind in kinds[:2])
    mean = [torch.stack([h for _, h in kind]).mean(0) for kind in kinds]
    before, after = (load_file(each / "model.safetensors") for each in (base, out))
    step = 3.0 * (mean[2] - mean[0])
    expected = descended(before[WEIGHT], forget, retain, step, 4, 0.02, 3, 5)
    torch.testing.assert_close(after[WEIGHT], expected)
    assert [n for n in before if not torch.equal(before[n], after[n])] == [WEIGHT]
    record = json.loads((out / "edit.json").read_text())
    assert {key: record[key] for key in options} == options
    moved = forget @ (expected - before[WEIGHT]).double().T @ step / step.dot(step)
    assert record["moved"]["forget"] == pytest.approx(moved.square().mean().sqrt().item(), rel=1e-4)


def test_several_blocks_are_moved_from_the_deepest_on(base):
    """A block's inputs and states are of the blocks before it, which a later one does not reach."""
    deep = make(base, out="deep")
    twice = lunar_model(str(deep), FORGET, RETAIN, REFUSED, base.parent / "twice", layer=0)
    alone = make(base, out="alone", layer=0)
    files = [load_file(each / "model.safetensors") for each in (twice, deep, alone)]
    first = "model.layers.0.mlp.down_proj.weight"
    assert torch.equal(files[0][WEIGHT], files[1][WEIGHT])
    assert torch.equal(files[0][first], files[2][first])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 2, "ridge": 0.1}, "--ridge: has no effect with --epochs"),
        ({"lr": 0.1, "seed": 3}, "--lr, --seed: have no effect without --epochs"),
        ({"epochs": -1, "batch_size": 0}, "(?s)--epochs: .*at least 0.*--batch_size: .*at least 1"),
    ],
)
def test_options_without_an_effect_are_refused(base, monkeypatch, options, said):
    monkeypatch.setattr("unlearnkit.edits.lunar.load_model", None)
    with pytest.raises(UserError, match=said):
        make(base, **options)
