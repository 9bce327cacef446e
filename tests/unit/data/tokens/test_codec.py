import pytest
from hypothesis import given
from hypothesis import strategies as st
from stub import stub_tokenizer
from tokenizers import processors

from unlearnkit.data.tokens.codec import Codec, DoesNotFit
from unlearnkit.data.tokens.control import Rendered
from unlearnkit.errors import RecipeError

EOS = 3


def test_prompt_and_response_are_apart(letters):
    codec = Codec(letters, 8)
    assert (codec.prompt("ab"), codec.response("c")) == ([4, 5], [6, EOS])


def test_many_texts_are_as_each_alone(letters):
    codec, texts = Codec(letters, 8), ["ab", "", "cde"]
    assert codec.prompts(texts) == [codec.prompt(text) for text in texts]
    assert codec.responses(texts) == [codec.response(text) for text in texts]
    assert codec.prompts([]) == []


def test_what_a_tokenizer_puts_behind_is_no_part_of_a_prompt():
    tokenizer = stub_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", EOS)]
    )
    assert tokenizer("ab")["input_ids"] == [2, 4, 5, EOS]
    assert Codec(tokenizer, 8).prompt("ab") == [2, 4, 5]


def test_a_text_that_brings_its_own_bos_gets_no_second_one():
    codec = Codec(stub_tokenizer({"add_bos": True}), 8, control_tokens="keep")
    assert codec.prompt("<bos>ab") == [2, 4, 5]
    assert Codec(stub_tokenizer({"add_bos": True}), 8).prompt(Rendered("<bos>ab")) == [2, 4, 5]


def test_a_text_that_brings_its_own_eos_gets_no_second_one(letters):
    assert Codec(letters, 8, control_tokens="keep").response("ab<eos>") == [4, 5, EOS]
    assert Codec(letters, 8).response(Rendered("ab<eos>")) == [4, 5, EOS]


def test_a_response_that_ends_with_an_unknown_letter_still_gets_eos(letters):
    codec = Codec(letters, 8)
    assert codec.response("aZ") == [4, 1, EOS]
    assert codec.content_length(codec.response("aZ")) == 2


def test_a_tokenizer_without_eos_ends_nothing():
    assert Codec(stub_tokenizer({"eos": None}), 8).response("ab") == [4, 5]


def test_an_empty_prompt_is_bos_alone_or_a_fault(letters):
    with_bos = Codec(stub_tokenizer({"add_bos": True}), 8)
    assert with_bos.fit(with_bos.prompt(""), with_bos.response("a")) == [4, EOS]
    codec = Codec(letters, 8)
    with pytest.raises(DoesNotFit, match="puts no BOS in front"):
        codec.fit(codec.prompt(""), codec.response("a"))


def test_a_response_without_tokens_is_a_fault(letters):
    with pytest.raises(DoesNotFit, match="0 of 0 response tokens"):
        Codec(letters, 8).fit([4], [EOS])


@pytest.mark.parametrize("max_length", [1, 0, -3])
def test_a_length_without_room_is_refused(letters, max_length):
    with pytest.raises(RecipeError, match="max_length"):
        Codec(letters, max_length)


@given(
    prompt=st.text("abcde", min_size=1, max_size=12),
    response=st.text("abcde", min_size=1, max_size=12),
    max_length=st.integers(2, 26),
)
def test_a_response_is_whole_with_eos_or_cut_without(prompt, response, max_length):
    codec = Codec(stub_tokenizer(), max_length)
    prompt_ids, response_ids = codec.prompt(prompt), codec.response(response)
    if len(prompt_ids) >= max_length:
        with pytest.raises(DoesNotFit, match=f"0 of {len(response)} response tokens"):
            codec.fit(prompt_ids, response_ids)
        return
    kept = codec.fit(prompt_ids, response_ids)
    assert len(prompt_ids) + len(kept) == min(len(prompt) + len(response) + 1, max_length)
    assert kept == response_ids[: len(kept)]
    assert (kept[-1] == EOS) == (len(prompt) + len(response) < max_length)
