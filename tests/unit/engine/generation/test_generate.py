"""Generation does not depend on the batch, and ends where it should."""

from __future__ import annotations

import pytest
import torch
from architectures import CONFIGS, VOCABULARY, tiny_model
from peft import LoraConfig, get_peft_model
from stub import stub_tokenizer

from unlearnkit.engine.generation.generate import generate, left_pad
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.errors import UserError
from unlearnkit.models.base import load_tokenizer

RANDOM = {"random_init": 1, "padding_side": "right"}
EOS, D = 3, 7


@pytest.fixture
def stub(make_stub):
    return make_stub(RANDOM)


@pytest.fixture
def prompts():
    letters = ["<pad>", "<unk>", "<bos>", "<eos>", *"abcde "]
    return [[letters.index(c) for c in text] for text in ("a", "abc", "abcde", "edcbaedcb")]


@torch.no_grad()
def one_by_one(model, prompt, steps):
    """Greedy ids by a whole forward pass a token, without padding, cache or generate()."""
    ids = list(prompt)
    for _ in range(steps):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == EOS:
            return tuple(ids[len(prompt) : -1])
    return tuple(ids[len(prompt) :])


@pytest.mark.parametrize("batch_size", [1, 2, 4, 8])
@pytest.mark.parametrize("attention", ["default", "tree"])
def test_ids_are_those_of_unpadded_prompts_at_every_batch_size(
    stub, prompts, batch_size, attention
):
    model, tokenizer = stub
    expected = [one_by_one(model, prompt, 8) for prompt in prompts]
    if attention == "tree":
        use_tree_attention(model)
    found = generate(model, tokenizer, prompts, max_new_tokens=8, batch_size=batch_size)
    assert [g.ids for g in found] == expected
    assert len(set(expected)) > 1
    assert tokenizer.padding_side == "right"


def test_no_pad_token_and_no_end_token(make_stub, prompts):
    model, tokenizer = make_stub({**RANDOM, "pad": None, "eos": None})
    model.generation_config.eos_token_id = None
    singly = generate(model, tokenizer, prompts, max_new_tokens=8, batch_size=1)
    together = generate(model, tokenizer, prompts, max_new_tokens=8, batch_size=8)
    assert singly == together
    assert tokenizer.eos_token is None
    assert all(len(g.ids) == 8 and g.hit_limit for g in singly)
    assert tokenizer.pad_token is None


def test_end_token_ends_and_is_not_part_of_the_text(make_stub):
    model, tokenizer = make_stub({"bits": {"<pad>": 4, "<unk>": 4, "<bos>": 4, "<eos>": 1,
        "a": 3, "b": 4, "c": 5, "d": 6, "e": 6, " ": 4}})  # fmt: skip
    (found,) = generate(model, tokenizer, [[4]], max_new_tokens=5)
    assert found == ("", (), False)


def test_end_token_that_only_the_generation_config_names(stub):
    model, tokenizer = stub
    model.generation_config.eos_token_id = [EOS, D]
    (found,) = generate(model, tokenizer, [[4]], max_new_tokens=8)
    assert found.ids == ()
    assert not found.hit_limit


def test_own_generation_config_does_not_change_greedy_text(stub, prompts):
    model, tokenizer = stub
    expected = generate(model, tokenizer, prompts, max_new_tokens=8)
    model.generation_config.update(
        do_sample=True, temperature=3.0, repetition_penalty=9.0, no_repeat_ngram_size=1,
        max_length=3, num_beams=3, top_k=2, top_p=0.5, min_new_tokens=8,
    )  # fmt: skip
    assert generate(model, tokenizer, prompts, max_new_tokens=8) == expected


def test_the_likeliest_token_alone_is_the_greedy_one(stub, prompts):
    model, tokenizer = stub
    given = {"max_new_tokens": 8, "temperature": 5.0, "seed": 3}
    found = generate(model, tokenizer, prompts, top_k=1, **given)
    assert found == generate(model, tokenizer, prompts, max_new_tokens=8)
    assert found != generate(model, tokenizer, prompts, **given)


OWN = {
    "cache_implementation": "static", "stop_strings": ["c"], "begin_suppress_tokens": [4, 5, 6],
    "guidance_scale": 2.0, "forced_eos_token_id": 5, "return_dict_in_generate": True,
    "exponential_decay_length_penalty": [1, 2.0], "prompt_lookup_num_tokens": 3,
}  # fmt: skip


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_settings_that_ours_leave_open_are_not_taken_from_the_model(stub, prompts, name, wrapped):
    model, tokenizer = stub
    expected = generate(model, tokenizer, prompts, max_new_tokens=8)
    own = model.generation_config
    setattr(own, name, OWN[name])
    if wrapped:
        model = get_peft_model(model, LoraConfig(target_modules="all-linear"))
    assert generate(model, tokenizer, prompts, max_new_tokens=8) == expected
    assert stub[0].generation_config is own


def test_order_and_limits_are_those_of_the_prompts(stub, prompts):
    model, tokenizer = stub
    whole = generate(model, tokenizer, prompts, max_new_tokens=8)
    limits = [3, 1, 8, 2]
    found = generate(model, tokenizer, prompts, max_new_tokens=limits, batch_size=3)
    assert [g.ids for g in found] == [g.ids[:n] for g, n in zip(whole, limits, strict=True)]
    assert all(g.hit_limit for g in found)


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_that_outlast_the_others_are_those_of_a_batch_of_one(name):
    model, tokenizer = tiny_model(name), stub_tokenizer()
    shown = torch.Generator().manual_seed(3)
    prompts = [torch.randint(4, VOCABULARY, (n,), generator=shown).tolist() for n in range(2, 9)]
    limits = [12, 1, 5, 2, 9, 1, 12]
    whole = generate(model, tokenizer, prompts, max_new_tokens=limits, batch_size=1)
    # A token that some rows meet.
    longest = max(whole, key=lambda each: len(each.ids)).ids
    model.generation_config.eos_token_id = longest[len(longest) // 2]
    apart = generate(model, tokenizer, prompts, max_new_tokens=limits, batch_size=1)
    assert apart != whole
    assert len({len(each.ids) for each in apart}) > 2
    assert generate(model, tokenizer, prompts, max_new_tokens=limits, batch_size=8) == apart


@pytest.mark.parametrize("adapter", [False, True])
def test_a_batch_goes_on_without_the_rows_that_have_ended(adapter):
    model = tiny_model("llama")
    if adapter:
        model = get_peft_model(model, LoraConfig(target_modules="all-linear"))
    model.generation_config.eos_token_id = None
    sizes = []
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    generate(model, stub_tokenizer(), [[5]] * 4, max_new_tokens=[1, 4, 4, 6], batch_size=4)
    # Three of four stay together, the last row ends alone.
    assert sizes == [4, 4, 4, 4, 1, 1]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_stop_string_cuts_text_and_ids(stub, prompts, batch_size):
    model, tokenizer = stub
    whole = generate(model, tokenizer, prompts, max_new_tokens=8)
    stop = "ccc"
    assert any(stop in g.text for g in whole)
    assert any(stop not in g.text for g in whole)
    found = generate(
        model, tokenizer, prompts, max_new_tokens=8, stop=["zz", stop], batch_size=batch_size
    )
    for cut, full in zip(found, whole, strict=True):
        at = full.text.find(stop)
        assert cut.text == (full.text if at < 0 else full.text[:at])
        assert cut.hit_limit == (at < 0)
        if at >= 0:
            assert tokenizer.decode(cut.ids, skip_special_tokens=True) == full.text[:at] + stop


def test_modes_gradients_and_random_state_are_left_alone(stub, prompts):
    model, tokenizer = stub
    model.train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    sampled = [
        generate(model, tokenizer, prompts, max_new_tokens=8, temperature=1.0, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert sampled[0] == sampled[1] != sampled[2]
    assert [module.training for module in model.modules()] == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())


def test_limit_is_lowered_at_the_end_of_the_positions(stub):
    model, tokenizer = stub
    longest = model.config.max_position_embeddings
    (found,) = generate(model, tokenizer, [[4] * (longest - 2)], max_new_tokens=8)
    assert len(found.ids) == 2
    with pytest.raises(UserError, match=f"fill the model's {longest} positions"):
        generate(model, tokenizer, [[4], [4] * longest], max_new_tokens=8)


@pytest.mark.parametrize(
    ("prompts", "limit", "message"),
    [
        ([[4], []], 3, r"at least one token; empty: \[1\]"),
        ([[4]], [3, 3], "2 limits for 1 prompts"),
        ([[4]], 0, "at least 1, found 0"),
    ],
)
def test_bad_input(stub, prompts, limit, message):
    with pytest.raises(ValueError, match=message):
        generate(*stub, prompts, max_new_tokens=limit)


def test_no_prompts(stub):
    assert generate(*stub, [], max_new_tokens=3) == []


def test_left_pad():
    ids, mask = left_pad([[5], [6, 7, 8]], pad_id=0)
    assert ids.tolist() == [[0, 0, 5], [6, 7, 8]]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize("name", ["llama", "gemma2", "mamba", "gpt2", "mixtral"])
def test_what_is_known_of_a_continuation_is_not_generated_again(name):
    model, tokenizer = tiny_model(name), stub_tokenizer()
    prompts = [[5, 9], [7, 11, 30, 8], [40, 6, 12], [3, 9, 10]]
    whole = generate(model, tokenizer, prompts, max_new_tokens=[6, 7, 7, 5])
    begun = [each.ids[:n] for each, n in zip(whole, (0, 3, 6, 9), strict=True)]
    passes = []
    model.get_output_embeddings().register_forward_pre_hook(lambda *_: passes.append(1))
    found = generate(model, tokenizer, prompts, max_new_tokens=[6, 7, 7, 5], begun=begun)
    assert found == whole
    assert generate(model, tokenizer, prompts, max_new_tokens=6, begun=[[4] * 9] * 4) == generate(
        model, tokenizer, prompts, max_new_tokens=6, begun=[[4] * 6] * 4
    )
    # Nothing is left to do where limit or end token are known.
    passes.clear()
    ended = generate(model, tokenizer, [[5, 9]], max_new_tokens=9, begun=[[4, 5, EOS, 7]])
    assert (ended[0].ids, ended[0].hit_limit, passes) == ((4, 5), False, [])


def test_positions_that_depend_on_the_prompt_take_nothing_for_known():
    model = tiny_model("llama")
    plain = generate(model, stub_tokenizer(), [[5, 9]], max_new_tokens=4)
    model.config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    assert generate(model, stub_tokenizer(), [[5, 9]], max_new_tokens=4, begun=[[4]]) == plain


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", ["gpt2", "opt"])
def test_rows_at_the_end_of_a_table_of_positions_do_not_pass_it_with_the_batch(
    name, temperature
) -> None:
    model, tokenizer = tiny_model(name), load_tokenizer("tiny")
    model.generation_config.eos_token_id = None
    prompts = [[3 + (7 * i) % 50 for i in range(length)] for length in (120, 118, 116, 100, 3, 4)]
    given = {"max_new_tokens": [200, 200, 200, 200, 2, 2], "temperature": temperature}
    found = generate(model, tokenizer, prompts, batch_size=6, **given)
    lengths = [len(each.ids) for each in found]
    assert all(0 < own <= most for own, most in zip(lengths, (8, 10, 12, 28, 2, 2), strict=True))
    if not temperature:
        assert lengths == [8, 10, 12, 28, 2, 2]
        assert found == generate(model, tokenizer, prompts, batch_size=1, **given)
