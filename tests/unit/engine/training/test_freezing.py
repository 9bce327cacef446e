"""Training of parts of a model."""

from __future__ import annotations

import pytest
from peft import LoraConfig
from short_fits import objective, qa, stub_data, stub_module, train
from stub import stub_model
from transformers import LlamaConfig

from unlearnkit.engine.preflight import SETTINGS, Values, refuse
from unlearnkit.engine.training.freezing import matching, refuse_unknown_names, restrict
from unlearnkit.errors import RecipeError

RMU = r"model\.layers\.[567]\.mlp\.down_proj"
"""The three matrices that RMU trains on Zephyr-7B."""


def _config(**arguments) -> LlamaConfig:
    sizes = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 12}
    return LlamaConfig(**sizes, num_attention_heads=2, **arguments)


def _trained(model) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def _names() -> list[str]:
    return [f"model.layers.{n}.mlp.down_proj.weight" for n in range(12)] + ["model.norm.weight"]


def test_three_matrices_of_rmu_are_one_expression() -> None:
    expected = {f"model.layers.{n}.mlp.down_proj.weight" for n in (5, 6, 7)}
    assert matching(RMU, _names()) == expected
    assert matching([f"layers.{n}.mlp.down_proj" for n in (5, 6, 7)], _names()) == expected


def test_a_listed_name_is_cut_at_the_dots() -> None:
    assert matching(["layers.1"], _names()) == {"model.layers.1.mlp.down_proj.weight"}
    with pytest.raises(RecipeError, match=r"'down' names no weight"):
        matching(["down"], _names())


def test_every_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        matching(["mlp.down_prj", "norm", "layers.12"], _names())
    first, second = caught.value.message.splitlines()
    assert "'mlp.down_prj' names no weight" in first
    assert "mlp.down_proj" in first
    assert "'layers.12' names no weight" in second


def test_what_is_no_expression_is_said(monkeypatch) -> None:
    with pytest.raises(RecipeError, match="no regular expression"):
        matching("layers.(5", _names())
    with pytest.raises(RecipeError, match="the list is empty"):
        matching([], _names())


def test_names_are_checked_without_weights() -> None:
    refuse_unknown_names(_config(), RMU)
    with pytest.raises(RecipeError, match=r"The nearest are .*layers"):
        refuse_unknown_names(_config(), r"model.layers.12.mlp.down_proj")
    with pytest.raises(RecipeError, match=r"model\.lora\.target_modules"):
        refuse(SETTINGS, Values("tiny", LoraConfig(), trainable=RMU))


def test_a_tied_weight_is_trained_by_either_name() -> None:
    model = stub_model()
    model.lm_head.weight = model.model.embed_tokens.weight
    restrict(model, ["lm_head"])
    assert _trained(model) == {"model.embed_tokens.weight"}


def test_only_what_is_named_moves(tmp_path) -> None:
    (tmp_path / "forget.jsonl").write_text('{"prompt": "ab", "response": "cd"}\n')
    module = stub_module(
        {"forget": objective("nll")}, {"random_init": 1}, lr=0.5, trainable=["mlp.down_proj"]
    )
    before = {name: p.clone() for name, p in module.policy.named_parameters()}
    train(module, stub_data({"forget": qa(tmp_path / "forget.jsonl")}), max_steps=2)
    moved = {n for n, p in module.policy.named_parameters() if not p.equal(before[n])}
    assert moved == {name for name in before if "mlp.down_proj" in name}
