"""Continuous batching gives the texts of generation batch by batch, or refuses."""

from __future__ import annotations

import pytest
import torch
from architectures import CONFIGS, tiny_model
from peft import LoraConfig, get_peft_model

from unlearnkit.data.generated import GenerationBackend, generated_by
from unlearnkit.engine.generation.backends.continuous import Continuous, config_refusal
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.composite.logits import CombinedConfig, CombinedForCausalLM

CONTINUOUS = GenerationBackend("continuous")
PROMPTS = [[3 + (i * j * 7) % 57 for j in range(2 + i)] for i in range(32)]
LIMITS = [3 + i % 10 for i in range(32)]
REFUSED = {
    "gemma2": "soft cap",
    "gpt-neox": "PagedAttentionCache",
    "opt": "PagedAttentionCache",
    "mamba": "keys and values alone",
}


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


def both(model, tokenizer, **given):
    """Texts of 32 ragged prompts by the default backend, and by continuous batching."""
    given = {"max_new_tokens": LIMITS, "batch_size": 8, **given}
    plain = generate(model, tokenizer, PROMPTS, **given)
    with generated_by(CONTINUOUS):
        return plain, generate(model, tokenizer, PROMPTS, **given)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral-window", "qwen3-moe"])
def test_greedy_texts_ids_and_limits_are_the_same(name, tokenizer) -> None:
    model = tiny_model(name)
    model.generation_config.eos_token_id = [2, 9]
    plain, continuous = both(model, tokenizer, stop=("e", "1"))
    assert continuous == plain
    stopped = sum(not each.hit_limit for each in plain)
    assert 0 < stopped < 32, "some rows have to end by themselves, and some by their limit"


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_is_the_same_or_refused_with_the_reason(name, tokenizer) -> None:
    model = tiny_model(name)
    if name in REFUSED:
        with pytest.raises(RecipeError, match=REFUSED[name]):
            both(model, tokenizer)
    else:
        plain, continuous = both(model, tokenizer)
        assert continuous == plain


def test_an_adapter_under_forest_attention_takes_part_and_all_is_put_back(tokenizer) -> None:
    model = tiny_model("llama")
    bare, _ = both(model, tokenizer)
    torch.manual_seed(3)
    lora = LoraConfig(target_modules="all-linear", init_lora_weights=False, lora_alpha=64)
    adapted = get_peft_model(model, lora)
    use_tree_attention(adapted)  # pyright: ignore
    before = model.config._attn_implementation
    adapted.train()
    state = torch.get_rng_state()
    plain, continuous = both(adapted, tokenizer)
    assert continuous == plain != bare
    assert adapted.training
    assert model.config._attn_implementation == before
    assert torch.equal(torch.get_rng_state(), state)


def test_samples_follow_from_the_seed(tokenizer) -> None:
    model = tiny_model("llama")
    with generated_by(CONTINUOUS):
        one, again, other = (
            generate(model, tokenizer, PROMPTS, max_new_tokens=6, temperature=1.0, seed=seed)
            for seed in (3, 3, 4)
        )
    assert one == again != other


@pytest.mark.parametrize("name", ["opt", "mamba", "gemma2"])
def test_a_model_that_it_cannot_run_is_refused_by_name(name, tokenizer) -> None:
    with pytest.raises(RecipeError, match=REFUSED[name]) as refused, generated_by(CONTINUOUS):
        generate(tiny_model(name), tokenizer, PROMPTS, max_new_tokens=2)
    assert f"({name})" in refused.value.message
    assert "Set generation.backend: hf" in str(refused.value.hint)


def test_a_model_whose_probabilities_are_others_there_is_refused(monkeypatch) -> None:
    name = "unlearnkit.engine.generation.backends.continuous.config_refusal"
    monkeypatch.setattr(name, lambda config: None)
    # The soft cap is what it leaves out.
    with pytest.raises(RecipeError, match=r"made-up rows differ by \d"):
        Continuous(tiny_model("gemma2"), 4)


def test_a_composite_model_is_refused() -> None:
    parts = {name: tiny_model("llama") for name in ("base", "tuned", "small")}
    model = CombinedForCausalLM(CombinedConfig("offset", {"alpha": 1.0}, vocab_size=61), parts)
    with pytest.raises(RecipeError, match="none of transformers' own"):
        Continuous(model, 4)


def test_what_a_config_tells_is_known_before_a_model_is_loaded() -> None:
    reasons = {name: config_refusal(CONFIGS[name]()) for name in CONFIGS}
    assert {name for name, reason in reasons.items() if reason} == {"gemma2", "mamba"}
