"""Which tokens are learned, and what they cost."""

import pytest
import torch
from rows import TURNS, write_chats, write_rows
from stub import BITS, response_bits

from unlearnkit.data import ChatStream, MismatchStream, QAStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError

EOS_BITS = 3.0
LONG = "ab:aa abcdeabcdeab:aaa c:dd"
"""The second prompt fills 8 tokens."""
OTHER_IDS = ("a", "<unk>", "b", "<eos>", "c", "d", "<pad>", "e", "<bos>", " ")
TOKENIZERS = [{"model_max_length": 64}]
TOKENIZERS += [TOKENIZERS[0] | {"bits": {token: BITS[token] for token in OTHER_IDS}}]


def encode(stream, tokenizer, max_length=64, others=None):
    return stream.encode("forget", Codec(tokenizer, max_length), others or {}, 0)


def examples_of(data):
    return [example for row in range(len(data)) for example in data.at(row, 0)]


def bits_of(model, data):
    """Bits of each response token of each row, EOS included."""
    return [response_bits(model, e.prompt_ids, e.response_ids) for e in examples_of(data)]


def mean_bits(model, data):
    return torch.cat(bits_of(model, data)).mean().item()


def mean_bits_without_eos(model, data):
    rows = bits_of(model, data)
    assert all(row[-1].item() == pytest.approx(EOS_BITS, abs=1e-5) for row in rows)
    return torch.cat([row[:-1] for row in rows]).mean().item()


def test_a_prompt_that_fills_the_length_is_named(here, letters):
    write_rows(here, forget=LONG)
    with pytest.raises(DataError) as caught:
        encode(QAStream("forget.jsonl"), letters, max_length=8)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("forget.jsonl", 2)
    assert "0 of 3 response tokens left at max_length 8" in problem.found


def test_or_dropped_with_the_count(here, make_stub, caplog):
    write_rows(here, forget=LONG)
    model, tokenizer = make_stub()
    data = encode(QAStream("forget.jsonl", on_bad_rows="drop"), tokenizer, max_length=8)
    assert (len(data), data.dropped) == (2, 1)
    assert "1 of 3 rows dropped" in caplog.text
    assert sum(data.lengths(row, 0)[1] for row in (0, 1)) == 6
    # aa costs 2 · 2 bits, dd 2 · 4, and each EOS 3.
    assert mean_bits(model, data) == pytest.approx(18 / 6, abs=1e-5)
    assert mean_bits_without_eos(model, data) == pytest.approx(12 / 4, abs=1e-5)


def test_a_stream_of_such_rows_alone_is_an_error_even_when_they_may_be_dropped(tmp_path, letters):
    file = tmp_path / "forget.jsonl"
    file.write_text('{"prompt": "abcdeabc", "response": "aaa"}\n')
    with pytest.raises(DataError, match="0 of 3 response tokens"):
        encode(QAStream(str(file), on_bad_rows="drop"), letters, max_length=8)


def test_a_tokenizer_without_a_pad_token_works(here, make_stub):
    write_rows(here, forget="a:a b:dddd c:eeeeeee")
    model, tokenizer = make_stub({"pad": None})
    assert tokenizer.pad_token is None
    data = encode(QAStream("forget.jsonl"), tokenizer)
    bits = 2 + 4 * 4 + 7 * 4  # of 12 letters
    assert mean_bits(model, data) == pytest.approx((bits + 3 * 3) / 15, abs=1e-5)
    assert mean_bits_without_eos(model, data) == pytest.approx(bits / 12, abs=1e-5)
    sums = torch.stack([row.sum() for row in bits_of(model, data)])
    assert sums.mean().item() == pytest.approx((bits + 3 * 3) / 3, abs=1e-4)


@pytest.mark.parametrize("stub", [{"pad": "<eos>"}, {}])
def test_eos_is_learned_whether_or_not_it_is_the_pad_token(here, make_stub, stub):
    write_rows(here, forget="a:a b:dddd")
    model, tokenizer = make_stub(stub)
    data = encode(QAStream("forget.jsonl"), tokenizer)
    assert all(e.response_ids[-1] == tokenizer.eos_token_id for e in examples_of(data))
    assert sum(data.lengths(row, 0)[1] for row in (0, 1)) == 7
    bits = (2 + 3) + (4 * 4 + 3)
    assert mean_bits(model, data) == pytest.approx(bits / 7, abs=1e-5)


def test_a_chat_row_has_one_bos(here, make_stub):
    write_chats(here, "u:ab a:c")
    template = "{{ bos_token }}" + TURNS
    _, tokenizer = make_stub({"add_bos": True, "chat_template": template})
    (example,) = examples_of(encode(ChatStream("chat.jsonl"), tokenizer))
    assert example.prompt_ids + example.response_ids == (2, 7, 4, 5, 8, 6, 3)


@pytest.mark.parametrize(("add_bos", "prompt_ids"), [(True, (2, 4, 5)), (False, (4, 5))])
def test_a_plain_row_has_one_bos_where_the_tokenizer_adds_one(here, make_stub, add_bos, prompt_ids):
    write_rows(here, plain="ab:c")
    _, tokenizer = make_stub({"add_bos": add_bos})
    (example,) = examples_of(encode(QAStream("plain.jsonl"), tokenizer))
    assert example.prompt_ids == prompt_ids
    assert example.response_ids == (6, 3)


@pytest.mark.parametrize("stub", TOKENIZERS)
def test_what_is_learned_does_not_depend_on_the_ids_of_a_tokenizer(here, make_stub, stub):
    write_rows(here, forget="abc:aa e:d")
    model, tokenizer = make_stub(stub)
    forget = encode(QAStream("forget.jsonl"), tokenizer)
    texts = [tokenizer.decode(e.response_ids) for e in examples_of(forget)]
    assert texts == ["aa<eos>", "d<eos>"]
    bits = 2 + 2 + 4  # of aa and d
    assert mean_bits(model, forget) == pytest.approx((bits + 2 * 3) / 5, abs=1e-5)
    assert mean_bits_without_eos(model, forget) == pytest.approx(bits / 3, abs=1e-5)


@pytest.mark.parametrize("stub", TOKENIZERS)
def test_nor_what_is_learned_of_random_answers(here, make_stub, stub):
    write_rows(here, forget="abc:aa e:d", mismatch=":bb :c")
    _, tokenizer = make_stub(stub)
    forget = encode(QAStream("forget.jsonl"), tokenizer)
    stream = MismatchStream(answers="mismatch.jsonl", per_prompt=2)
    data = stream.encode("mismatch", Codec(tokenizer, 64), {"forget": forget}, 0)
    for row, prompt in enumerate(("abc", "e")):
        examples = data.at(row, row)
        assert {tokenizer.decode(e.prompt_ids) for e in examples} == {prompt}
        assert {tokenizer.decode(e.response_ids) for e in examples} == {"bb<eos>", "c<eos>"}
