"""What the maximal length takes from answers of pools, against a count pair by pair."""

from __future__ import annotations

import json

import pytest
from stub import stub_tokenizer

from unlearnkit.data import AlternateStream, IdkStream, MismatchStream, QAStream
from unlearnkit.data.cut import Cut
from unlearnkit.data.tokens.codec import Codec

CODEC = Codec(stub_tokenizer(), 8)
# Prompts of 1, 3 and 5 tokens leave room for 7, 5 and 3.
FORGET = [("a", "b"), ("aaa", "b"), ("aaaaa", "bb")]


@pytest.fixture
def write(tmp_path):
    def write(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def streams(write):
    rows = [{"prompt": p, "response": r, "other": ["c" * 5, "dd"]} for p, r in FORGET]
    return {"forget": QAStream(write("forget.jsonl", rows)).encode("forget", CODEC, {}, 0)}


def test_pairs_of_a_prompt_and_an_answer_are_counted(write, streams):
    # With EOS 2, 4, 6 and 9 tokens.
    pool = write("pool.jsonl", [{"response": "c" * n} for n in (1, 3, 5, 8)])
    for kind in (MismatchStream, IdkStream):
        data = kind(answers=pool).encode("other", CODEC, streams, 0)
        # Room 7: 9; room 5: 6 and 9; room 3: 4, 6 and 9.
        expected = Cut(
            1 + 2 + 3, 12, 2 + (1 + 4) + (1 + 3 + 6), 3 * 21, "pairs of prompt and answer"
        )
        assert data.cuts() == expected
    told = "6 of 12 pairs of prompt and answer, 17 of 63 response tokens"
    assert str(data.cuts()) == told


def test_pairs_are_those_that_are_drawn(write, streams):
    # Different from the first letter on, so that none is left out for another that is cut alike.
    pool = write("pool.jsonl", [{"response": r} for r in ("e", "ddd", "c" * 5, "a" * 8)])
    data = MismatchStream(answers=pool, per_prompt=4).encode("mismatch", CODEC, streams, 0)
    drawn = sum(data.lengths(row, row)[1] for row in range(3))
    assert data.cuts().of_tokens - data.cuts().tokens == drawn


def test_alternates_count_behind_their_own_prompt(streams):
    path = streams["forget"].source
    data = AlternateStream(path, alternate_field="other").encode("other", CODEC, streams, 0)
    # With EOS 6 and 3 tokens behind each prompt.
    assert data.cuts() == Cut(2, 6, 1 + 3, 3 * 9, "pairs of prompt and answer")


def test_nothing_is_told_where_all_fits(write, streams):
    pool = write("pool.jsonl", [{"response": "c"}, {"response": "d"}])
    data = MismatchStream(answers=pool).encode("mismatch", CODEC, streams, 0)
    assert data.cuts() is None
    assert streams["forget"].cuts() is None
