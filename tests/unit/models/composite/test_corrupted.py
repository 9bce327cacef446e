"""Models that corrupt the embeddings of prompts by a classifier (ECO)."""

from __future__ import annotations

import json

import pytest
import torch
from edited import eco_model
from rounding import near
from stub import save_gpt2, save_stub
from transformers import AutoModelForCausalLM

from unlearnkit.data.example import Example
from unlearnkit.edits.eco.regression import fit_classifier
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import UserError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_config, load_model

EOS = 3
# Prompts of "a" and "b" are to be found, those of "d" and "e" are not.
FORGET = [Example((4, 5, 4 + i % 2), (6, EOS), i, "f") for i in range(6)]
RETAIN = [Example((7, 8, 7 + i % 2), (6, EOS), i, "r") for i in range(6)]


@pytest.fixture
def base(tmp_path):
    save_stub({"random_init": 1}, tmp_path / "base")
    return str(tmp_path / "base")


@pytest.fixture
def folder(base, tmp_path):
    return eco_model(base, FORGET, RETAIN, tmp_path / "out", strength=3.0, dims=2, threshold=0.9)


def test_prompts_that_are_kept_give_the_base_bit_for_bit(base, folder) -> None:
    ids = torch.tensor([[7, 8, 7, 6], [8, 8, 7, 4]])
    assert load_model(str(folder))(ids).logits.equal(load_model(base)(ids).logits)
    record = json.loads((folder / "eco.json").read_text())
    assert (record["forget"]["corrupted"], record["retain"]["corrupted"]) == (6, 0)


def test_prompts_that_are_found_have_noise_but_for_their_last_token(base, folder) -> None:
    model, plain = load_model(str(folder)), load_model(base)
    prompt, response = [4, 5, 4], [6, 7]
    embedded = plain.get_input_embeddings()(torch.tensor([prompt + response])).detach().clone()
    generator = torch.Generator().manual_seed(0)
    for place in range(2):
        embedded[0, place, :2] += 3.0 * torch.randn(2, generator=generator)
    expected = plain(inputs_embeds=embedded).logits
    length = torch.tensor([3])
    found = model(torch.tensor([prompt + response]), prompt_lengths=length).logits
    torch.testing.assert_close(found, expected)
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(
        loaded(torch.tensor([prompt + response]), prompt_lengths=length).logits, expected
    )
    # The scores of the engine are of the same prompts, in a batch with others.
    rows = [Example((7, 8), (6, EOS), 0, "r"), Example(tuple(prompt), (6, 7), 1, "f")]
    logps = score(model, rows, batch_size=2).logps
    wanted = expected.log_softmax(-1)[0, [2, 3], [6, 7]].tolist()
    assert logps[2:].tolist() == near(wanted)


def test_answers_are_those_to_the_corrupted_prompt_in_any_batch(folder) -> None:
    model, tokenizer = load_model(str(folder)), load_tokenizer(str(folder))
    prompts = [(4, 5, 4), (7,), (5, 5, 4, 4, 5)]
    alone = [generate(model, tokenizer, [p], max_new_tokens=5)[0].ids for p in prompts]
    found = generate(model, tokenizer, prompts, max_new_tokens=5, batch_size=3)
    assert [each.ids for each in found] == alone
    ids = torch.tensor([[4, 5, 4]])
    first = int(model(ids).logits[0, -1].argmax())
    assert alone[0][:1] == (() if first == EOS else (first,))


def test_answers_of_a_base_with_absolute_positions_do_not_hang_on_the_batch(tmp_path) -> None:
    base = save_gpt2(tmp_path / "base")
    out = eco_model(base, FORGET, RETAIN, tmp_path / "out", strength=3.0, threshold=0.5)
    model, tokenizer = load_model(str(out)), load_tokenizer(str(out))
    torch.manual_seed(1)
    prompts = [tuple(torch.randint(4, 9, (1 + i % 9,)).tolist()) for i in range(32)]
    alone = [generate(model, tokenizer, [p], max_new_tokens=5)[0].ids for p in prompts]
    found = generate(model, tokenizer, prompts, max_new_tokens=5, batch_size=32)
    assert [each.ids for each in found] == alone
    assert len(set(alone)) > 8


def test_answers_need_no_cache_and_take_several_beams(folder) -> None:
    model = load_model(str(folder))
    ids = torch.tensor([[4, 5, 4], [7, 8, 7]])
    for how in ({"num_beams": 1}, {"num_beams": 2}):
        given = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, **how}
        kept, anew = (model.generate(ids, use_cache=cache, **given) for cache in (True, False))
        assert kept.equal(anew)


def test_the_classifier_is_a_line_between_two_kinds() -> None:
    coefficients, bias = fit_classifier(
        torch.tensor([[2.0], [4.0]]), torch.tensor([[-4.0], [-2.0]])
    )
    assert coefficients[0] > 0
    assert 1 + bias == near(1.0)  # they lie alike on both sides of 0


def test_what_cannot_be_done_is_refused_before_anything_is_written(base, tmp_path) -> None:
    out = tmp_path / "none"
    with pytest.raises(UserError) as caught:
        eco_model(base, FORGET, RETAIN, out, strength=0, dims=99, threshold=1.0, layers=9)
    assert all(f"--{name}" in str(caught.value) for name in ("strength", "dims", "thre", "layers"))
    assert not out.exists()


def test_it_says_by_what_it_was_made(folder) -> None:
    assert load_config(str(folder)).edit == "eco"
