import hashlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stub import stub_tokenizer

from unlearnkit.data import TextStream, encoded
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, RecipeError

EOS = 3


def pieces(tmp_path, text, tokenizer, max_length=512, **options):
    path = tmp_path / "book.jsonl"
    path.write_text(json.dumps({"text": text}))
    data = TextStream(str(path), **options).encode("forget", Codec(tokenizer, max_length), {}, 0)
    return [example for row in range(len(data)) for example in data.at(row, 0)]


def test_a_short_text_is_one_piece_that_ends_with_eos(tmp_path, letters):
    (piece,) = pieces(tmp_path, "abcde", letters, prompt_tokens=2)
    assert (piece.prompt_ids, piece.response_ids) == ((4, 5), (6, 7, 8, EOS))


def test_each_piece_begins_with_the_end_of_the_one_before(tmp_path, letters):
    parts = pieces(tmp_path, "abcdea", letters, prompt_tokens=2, chunk_tokens=4)
    assert [(p.prompt_ids, p.response_ids) for p in parts] == [
        ((4, 5), (6, 7)),
        ((6, 7), (8, 4, EOS)),
    ]


@given(
    length=st.integers(1, 60),
    prompt_tokens=st.integers(1, 10),
    more=st.integers(1, 12) | st.none(),
    max_length=st.integers(13, 40),
    add_bos=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_token_but_the_first_prompt_is_learned_once(
    tmp_path, length, prompt_tokens, more, max_length, add_bos
):
    text = "".join("abcde"[index * index % 5] for index in range(length))
    tokenizer = stub_tokenizer({"add_bos": add_bos})
    options = {"prompt_tokens": prompt_tokens, "chunk_tokens": more and prompt_tokens + more}
    if length <= prompt_tokens:
        with pytest.raises(DataError, match=f"a text of {length} tokens"):
            pieces(tmp_path, text, tokenizer, max_length, **options)
        return
    parts = pieces(tmp_path, text, tokenizer, max_length, **options)
    ids = Codec(tokenizer, max_length).tokens([text])[0]
    learned = [token for part in parts for token in part.response_ids]
    assert [token for token in learned if token != EOS] == ids[prompt_tokens:]
    assert EOS not in learned[:-1]
    for part in parts:
        assert part.response_ids
        assert len(part.prompt_ids) == prompt_tokens + add_bos
        assert (part.prompt_ids[0] == tokenizer.bos_token_id) == add_bos
        assert len(part.prompt_ids) + len(part.response_ids) <= max_length


def test_a_plain_text_file_is_cut_into_pieces(tmp_path, letters):
    path = tmp_path / "book.txt"
    path.write_text("abcde" * 20)
    stream = TextStream(str(path), prompt_tokens=8)
    data = stream.encode("forget", Codec(letters, 32), {}, 0)
    assert len(data) == 4
    assert {data.at(row, 0)[0].source for row in range(4)} == {f"{path}:1"}


def test_the_column_can_be_named(tmp_path):
    path = tmp_path / "book.jsonl"
    path.write_text('{"passage": "abc"}')
    with pytest.raises(DataError, match="`text_field: passage`"):
        TextStream(str(path)).check()
    TextStream(str(path), text_field="passage").check()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_tokens": 0}, "prompt_tokens: expected at least 1"),
        ({"prompt_tokens": 8, "chunk_tokens": 8}, "chunk_tokens: expected more than"),
    ],
)
def test_sizes_without_a_response_are_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        TextStream("book.txt", **options)


def test_a_prompt_as_long_as_max_length_is_refused(tmp_path, letters):
    with pytest.raises(RecipeError, match="leave no response token at max_length 8"):
        pieces(tmp_path, "abcdeabcde", letters, max_length=8, prompt_tokens=8)


def test_a_text_is_hashed_once_however_many_pieces_it_gives(tmp_path, letters, monkeypatch):
    hashed = []

    def counting(data, **options):
        hashed.append(len(data))
        return hashlib.blake2b(data, **options)

    monkeypatch.setattr(encoded, "blake2b", counting)
    parts = pieces(tmp_path, "abcde" * 200, letters, prompt_tokens=2, chunk_tokens=4)
    assert len(parts) == 499
    assert hashed == [1000, 1000]  # as it is, and without regard to white space and case
