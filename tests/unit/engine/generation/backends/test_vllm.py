"""What is asked of vLLM, and what becomes of its answers; vLLM itself is a stand-in."""

from __future__ import annotations

from types import SimpleNamespace

import fake_vllm
import pytest
import torch
from stub import stub_tokenizer

from unlearnkit.data.generated import GenerationBackend, generated_by
from unlearnkit.engine.generation.backends import vllm as backend
from unlearnkit.engine.generation.backends.saved import saved_as
from unlearnkit.engine.generation.generate import generate
from unlearnkit.errors import RecipeError
from unlearnkit.models.load import load_model

VLLM = GenerationBackend("vllm")
PROMPTS = [[4, 5], [6, 7, 8, 4, 5], [8]]


@pytest.fixture
def calls(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "_kept", {})
    return fake_vllm.install(tmp_path / "site", monkeypatch)


@pytest.fixture
def model(stub_folder):
    return saved_as(load_model(str(stub_folder)), str(stub_folder))


def test_it_is_given_ids_limits_and_end_tokens_and_the_text_is_ours(
    calls, model, stub_folder
) -> None:
    tokenizer = stub_tokenizer()
    given = {"max_new_tokens": [3, 40, 5], "stop": ("b",)}
    plain = generate(model, tokenizer, PROMPTS, **given)
    with generated_by(VLLM):
        found = generate(model, tokenizer, PROMPTS, **given)
    assert found == plain
    engine, rows = calls
    assert engine == {"engine": str(stub_folder), "max_model_len": 512, "dtype": "float32"}
    asked = zip(rows["prompts"], rows["params"], strict=True)
    by_prompt = {tuple(prompt["prompt_token_ids"]): params for prompt, params in asked}
    assert set(by_prompt) == set(map(tuple, PROMPTS))
    assert by_prompt[(4, 5)] == {
        "temperature": 0.0, "top_p": 1.0, "top_k": -1, "max_tokens": 3, "stop_token_ids": [3],
        "seed": None, "detokenize": False,
    }  # fmt: skip


def test_each_sampled_row_has_a_seed_of_its_own_and_one_engine_serves_all(calls, model) -> None:
    with generated_by(VLLM):
        for seed in (1, 1, 2):
            generate(
                model, stub_tokenizer(), PROMPTS, max_new_tokens=2, temperature=0.7, top_p=0.9,
                top_k=2, seed=seed,
            )  # fmt: skip
    engine, *rows = calls
    assert "engine" in engine
    assert all("prompts" in each for each in rows)
    seeds = [[row["seed"] for row in each["params"]] for each in rows]
    assert len(set(seeds[0])) == 3
    assert seeds[0] == seeds[1] != seeds[2]
    asked = {(row["temperature"], row["top_p"], row["top_k"]) for row in rows[0]["params"]}
    assert asked == {(0.7, 0.9, 2)}


def test_a_model_that_was_trained_since_is_refused_and_not_read_from_its_folder(
    calls, model
) -> None:
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(2)
    with generated_by(VLLM), pytest.raises(RecipeError, match="has changed since"):
        generate(model, stub_tokenizer(), PROMPTS, max_new_tokens=2)
    assert not calls


def test_an_end_token_that_a_version_leaves_out_is_known_by_the_reason() -> None:
    output = SimpleNamespace(token_ids=[5, 6], finish_reason="stop", stop_reason=3)
    assert backend._ids(output, [3]) == [5, 6, 3]
    cut = SimpleNamespace(token_ids=[5, 6], finish_reason="length", stop_reason=None)
    assert backend._ids(cut, [3]) == [5, 6]


def test_without_the_package_the_extra_is_named(model) -> None:
    with generated_by(VLLM), pytest.raises(RecipeError, match="vllm is not installed") as refused:
        generate(model, stub_tokenizer(), PROMPTS, max_new_tokens=2)
    assert "unlearnkit[vllm]" in str(refused.value.hint)
