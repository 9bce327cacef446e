"""A passage cut at several places is one row."""

import pytest
from stub import stub_tokenizer

from unlearnkit.data import TextStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import RecipeError

CODEC = Codec(stub_tokenizer(), 64)
IDS = CODEC.tokenizer.convert_tokens_to_ids


def encode(text, **arguments):
    stream = TextStream([{"text": text}], **arguments)
    return stream.encode("forget", CODEC, {}, seed=0)


def texts(examples):
    decode = CODEC.tokenizer.decode
    return [(decode(e.prompt_ids), decode(e.response_ids)) for e in examples]


def test_every_cut_is_a_sequence_of_the_row():
    data = encode("abcde", cuts=[1, 3])
    assert texts(data.at(0, 0)) == [("a", "bcde<eos>"), ("abc", "de<eos>")]
    assert texts(data.measured(0)) == texts(data.at(0, 0)), "suites measure every cut"
    assert [e.row for e in data.at(0, 0)] == [0, 0]


def test_pieces_are_cut_where_they_are_long_enough():
    data = encode("abcdea", cuts=[1, 3], chunk_tokens=4)
    assert texts(data.at(0, 0)) == [("a", "bcd"), ("abc", "d")]
    assert texts(data.at(1, 1)) == [("d", "ea<eos>")]


def test_one_cut_is_what_prompt_tokens_is():
    one, two = encode("abcdea", cuts=[2], chunk_tokens=4), encode("abcdea", prompt_tokens=2,
                                                                  chunk_tokens=4)  # fmt: skip
    assert list(one.examples()) == list(two.examples())


def test_cuts_by_turns():
    data = encode("abcde", cuts=[1, 2, 3], per_row=1)
    seen = [texts(data.at(0, epoch))[0][0] for epoch in range(3)]
    assert sorted(seen) == ["a", "ab", "abc"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"cuts": [3, 2]}, "cuts: expected ascending numbers"),
        ({"cuts": []}, "cuts: expected ascending numbers"),
        ({"cuts": [0]}, "cuts: expected ascending numbers"),
        ({"cuts": [2], "prompt_tokens": 3}, "prompt_tokens and cuts"),
        ({"per_row": 1}, "per_row: expected at least 1, of a stream with cuts"),
        ({"cuts": [1], "per_row": 0}, "per_row: expected at least 1"),
        ({"cuts": [2, 8], "chunk_tokens": 2}, "chunk_tokens: expected more"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words):
    with pytest.raises(RecipeError, match=words):
        TextStream([{"text": "abc"}], **arguments)
