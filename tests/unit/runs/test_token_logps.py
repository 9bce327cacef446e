from __future__ import annotations

import math

import pytest
from short_fits import qa, stub_data
from stub import stub_model

from unlearnkit.runs.token_logps import TokenLogps


def test_bits_of_each_token_of_the_forget_rows(written) -> None:
    data = stub_data({"forget": qa(written(forget="b:ad") / "forget.jsonl")}, batch_size=1)
    data.check()
    found = TokenLogps(data.data, data.tokenizer)
    found.measure("before", stub_model())
    (row,) = found.rows()
    assert row["tokens"] == ["a", "d", "<eos>"]
    # a costs 2 bits, d 4, EOS 3.
    bits = [-each / math.log(2) for each in row["logps"]["before"]]
    assert bits == pytest.approx([2, 4, 3], abs=1e-5)


def test_without_a_forget_stream_there_is_nothing() -> None:
    found = TokenLogps({}, None)
    found.measure("before", stub_model())
    assert found.rows() == []
