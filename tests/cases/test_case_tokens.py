"""Cases 05 to 08 and 14: which tokens are learned, and what they cost."""

import json

import pytest
import torch
from stub import response_bits

from unlearnkit.data import ChatStream, MismatchStream, QAStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError

EOS_BITS = 3.0


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


def expected_of(folder):
    return json.loads((folder / "expected.json").read_text())


def test_05_a_prompt_that_fills_the_length_is_named(in_case, letters):
    in_case("05")
    with pytest.raises(DataError) as caught:
        encode(QAStream("forget.jsonl"), letters, max_length=8)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("forget.jsonl", 2)
    assert "0 of 3 response tokens left at max_length 8" in problem.found


def test_05_or_dropped_with_the_count(in_case, make_stub, caplog):
    expected = expected_of(in_case("05"))["after_drop"]
    model, tokenizer = make_stub()
    data = encode(QAStream("forget.jsonl", on_bad_rows="drop"), tokenizer, max_length=8)
    assert (len(data), data.dropped) == (2, 1)
    assert "1 of 3 rows dropped" in caplog.text
    assert sum(data.lengths(row, 0)[1] for row in (0, 1)) == expected["tokens_with_eos"]
    assert mean_bits(model, data) == pytest.approx(expected["token_mean_bits_with_eos"], abs=1e-5)
    assert mean_bits_without_eos(model, data) == pytest.approx(
        expected["token_mean_bits_no_eos"], abs=1e-5
    )


def test_05_a_stream_of_such_rows_alone_is_an_error_even_when_they_may_be_dropped(
    tmp_path, letters
):
    file = tmp_path / "forget.jsonl"
    file.write_text('{"prompt": "abcdeabc", "response": "aaa"}\n')
    with pytest.raises(DataError, match="0 of 3 response tokens"):
        encode(QAStream(str(file), on_bad_rows="drop"), letters, max_length=8)


def test_06_a_tokenizer_without_a_pad_token_works(in_case, make_stub):
    folder = in_case("06")
    expected = expected_of(folder)
    model, tokenizer = make_stub(folder / "stub.json")
    assert tokenizer.pad_token is None
    data = encode(QAStream("forget.jsonl"), tokenizer)
    assert mean_bits(model, data) == pytest.approx(expected["token_mean_bits_with_eos"], abs=1e-5)
    assert mean_bits_without_eos(model, data) == pytest.approx(
        expected["token_mean_bits_no_eos"], abs=1e-5
    )
    sums = torch.stack([row.sum() for row in bits_of(model, data)])
    assert sums.mean().item() == pytest.approx(expected["row_sum_mean_bits_with_eos"], abs=1e-4)


@pytest.mark.parametrize("stub", ["stub.json", "stub_separate_pad.json"])
def test_07_eos_is_learned_whether_or_not_it_is_the_pad_token(in_case, make_stub, stub):
    folder = in_case("07")
    expected = expected_of(folder)
    model, tokenizer = make_stub(folder / stub)
    data = encode(QAStream("forget.jsonl"), tokenizer)
    assert all(e.response_ids[-1] == tokenizer.eos_token_id for e in examples_of(data))
    assert sum(data.lengths(row, 0)[1] for row in (0, 1)) == expected["supervised_tokens_with_eos"]
    assert mean_bits(model, data) == pytest.approx(expected["token_mean_bits_with_eos"], abs=1e-5)


def test_08_a_chat_row_has_one_bos(in_case, make_stub):
    folder = in_case("08")
    _, tokenizer = make_stub(folder / "stub.json")
    (example,) = examples_of(encode(ChatStream("chat.jsonl"), tokenizer))
    assert example.prompt_ids + example.response_ids == (2, 7, 4, 5, 8, 6, 3)


@pytest.mark.parametrize(("add_bos", "prompt_ids"), [(True, (2, 4, 5)), (False, (4, 5))])
def test_08_a_plain_row_has_one_bos_where_the_tokenizer_adds_one(
    in_case, make_stub, add_bos, prompt_ids
):
    in_case("08")
    _, tokenizer = make_stub({"add_bos": add_bos})
    (example,) = examples_of(encode(QAStream("plain.jsonl"), tokenizer))
    assert example.prompt_ids == prompt_ids
    assert example.response_ids == (6, 3)


@pytest.mark.parametrize("stub", ["stub.json", "stub_other_ids.json"])
def test_14_what_is_learned_does_not_depend_on_the_ids_of_a_tokenizer(in_case, make_stub, stub):
    folder = in_case("14")
    expected = expected_of(folder)
    model, tokenizer = make_stub(folder / stub)
    forget = encode(QAStream("forget.jsonl"), tokenizer)
    texts = [tokenizer.decode(e.response_ids) for e in examples_of(forget)]
    assert texts == ["aa<eos>", "d<eos>"]
    assert mean_bits(model, forget) == pytest.approx(
        expected["forget_token_mean_bits_with_eos"], abs=1e-5
    )
    assert mean_bits_without_eos(model, forget) == pytest.approx(
        expected["forget_token_mean_bits_no_eos"], abs=1e-5
    )


@pytest.mark.parametrize("stub", ["stub.json", "stub_other_ids.json"])
def test_14_nor_what_is_learned_of_random_answers(in_case, make_stub, stub):
    folder = in_case("14")
    _, tokenizer = make_stub(folder / stub)
    forget = encode(QAStream("forget.jsonl"), tokenizer)
    stream = MismatchStream(answers="mismatch.jsonl", per_prompt=2)
    data = stream.encode("mismatch", Codec(tokenizer, 64), {"forget": forget}, 0)
    for row, prompt in enumerate(("abc", "e")):
        examples = data.at(row, row)
        assert {tokenizer.decode(e.prompt_ids) for e in examples} == {prompt}
        assert {tokenizer.decode(e.response_ids) for e in examples} == {"bb<eos>", "c<eos>"}
