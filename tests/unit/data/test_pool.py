"""Pools of answers: what is drawn, and what drawing, counting and a fingerprint cost."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stub import stub_tokenizer

from unlearnkit.data import MismatchStream
from unlearnkit.data.encoded import EncodedRows, data_fingerprint
from unlearnkit.data.plan import StepPlan, StreamPlan
from unlearnkit.data.pool import Answer, AnswerPool
from unlearnkit.data.sampler import StepDataset
from unlearnkit.data.streams.paired import PairedData
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Place

CODEC = Codec(stub_tokenizer(), 16)


def encoded(name, *sequences):
    data = EncodedRows(name, f"{name}.jsonl")
    for line, each in enumerate(sequences, start=1):
        data.append([each], Place(line, line), f"{line}")
    return data


FORGET = encoded("forget", ([1] * 4, [5, 6]), ([1, 2], [7]), ([3], [9, 9, 9]))
RETAIN = [[5, 6], [7], [8], [9, 9, 9], [7], [10, 11, 12, 13], [5, 6, 7]]


def test_the_draws_of_a_seed_are_the_same_for_ever():
    """Written down from the first version."""
    answers = [Answer(tuple(ids), f"{line}") for line, ids in enumerate(RETAIN, start=1)]
    pool = AnswerPool("mismatch", answers, 6, seed=4)
    drawn = [
        [(each.ids, each.source) for each in pool.draw(FORGET.at(n % 3, n)[0], 3 * n, 3)]
        for n in range(5)
    ]
    assert drawn == [
        [((9, 9), "4"), ((8,), "3"), ((7,), "5")],
        [((5, 6), "1"), ((5, 6, 7), "7"), ((10, 11, 12, 13), "6")],
        [((10, 11, 12, 13), "6"), ((8,), "3"), ((5, 6, 7), "7")],
        [((10, 11), "6"), ((7,), "5"), ((8,), "3")],
        [((9, 9, 9), "4"), ((5, 6), "1"), ((8,), "3")],
    ]


def test_answers_of_a_prompt_s_own_are_drawn_as_ever():
    """Written down from the first version: equal ones where a prompt has but one."""
    answers = [
        [[Answer((5, 6), "1"), Answer((7,), "2"), Answer((8, 8, 8), "3")]],
        [[Answer((1,), "4")]],
        [[Answer((1,), "5"), Answer((2,), "6")]],
    ]
    data = PairedData("alt", "a.jsonl", FORGET, answers, 2, 6, seed=1)
    drawn = [[(e.response_ids, e.source) for e in data.at(n % 3, n)] for n in (0, 1, 2, 5, 8)]
    assert drawn == [
        [((8, 8), "3"), ((7,), "2")],
        [((1,), "4"), ((1,), "4")],
        [((1,), "5"), ((2,), "6")],
        [((1,), "5"), ((2,), "6")],
        [((2,), "6"), ((1,), "5")],
    ]
    assert data_fingerprint(data) == "sha256:6a7c25fa6ee38842"


def texts(name, *answers):
    return encoded(name, *((CODEC.prompt("a"), CODEC.response(text)) for text in answers))


@pytest.fixture
def mismatch():
    rows = {"forget": texts("forget", "ab", "cd"), "retain": texts("retain", *"abcde", "ab", "cd")}
    return MismatchStream(per_prompt=3).encode("mismatch", CODEC, rows, 0)


def test_a_step_is_counted_without_making_its_answers(mismatch, monkeypatch):
    made, chosen = [], []
    answer, choose = AnswerPool.answer, AnswerPool.choose
    monkeypatch.setattr(
        AnswerPool, "answer", lambda self, *each: made.append(each) or answer(self, *each)
    )
    monkeypatch.setattr(
        AnswerPool, "choose", lambda self, *each: chosen.append(each) or choose(self, *each)
    )
    streams = {"forget": StreamPlan(2, 1), "mismatch": StreamPlan(2, 1, follows="forget")}
    steps = StepDataset(StepPlan(streams, accumulate=2), "mismatch", mismatch, rank=0)
    first = steps[0]
    assert len(made) == 3  # of 6 answers those of this micro-batch alone
    second = steps[1]
    assert (len(made), len(chosen)) == (6, 2)
    tokens = sum(len(e.response_ids) for e in first.examples + second.examples)
    assert first.token_share == second.token_share == tokens / 2
    assert first.sequence_share == 6 / 2


LETTERS = st.text("abc", min_size=1, max_size=3)


@given(
    own=st.lists(st.tuples(LETTERS, st.integers(1, 14)), min_size=1, max_size=4),
    pool=st.lists(LETTERS, min_size=1, max_size=8),
    per_prompt=st.integers(1, 4),
    first=st.integers(0, 40),
)
def test_a_count_is_the_sum_over_its_draws(own, pool, per_prompt, first):
    """Own answers, equal ones and ones that are cut included."""
    prompts = [([4] * n, CODEC.response(text)[: 16 - n]) for text, n in own]
    streams = {"forget": encoded("forget", *prompts), "retain": texts("retain", *pool)}
    try:
        data = MismatchStream(per_prompt=per_prompt).encode("mismatch", CODEC, streams, 0)
    except DataError:
        return  # a prompt whose own answer alone is in the pool
    rows = np.array([n % len(own) for n in range(first, first + 30)], np.int32)
    drawn = [data.at(int(row), first + n) for n, row in enumerate(rows)]
    tokens = sum(len(each.response_ids) for examples in drawn for each in examples)
    assert data.count(rows, first) == (30 * per_prompt, tokens)


def test_of_a_step_over_many_processes_few_draws_are_made_one_by_one(monkeypatch):
    """64 processes of 8 micro-batches of 4 rows; 300 answers of which no two are alike."""
    unlike = ["".join(each) for each in itertools.islice(itertools.product("abcde", repeat=4), 300)]
    rows = {"forget": texts("forget", *"abcde"), "retain": texts("retain", *unlike)}
    data = MismatchStream(per_prompt=3).encode("mismatch", CODEC, rows, 0)
    chosen = []
    choose = AnswerPool.choose
    monkeypatch.setattr(
        AnswerPool, "choose", lambda self, *each: chosen.append(each) or choose(self, *each)
    )
    streams = {"forget": StreamPlan(10**6, 4), "mismatch": StreamPlan(10**6, 4, "forget")}
    plan = StepPlan(streams, world=64, accumulate=8)
    draws = plan.draws_of_window("mismatch", 0)
    assert len(draws.rows) == 64 * 8 * 4
    data.count(draws.rows % 5, draws.first)
    # Three answers in a row may be of two passes over the pool, where two of them may be equal.
    assert len(chosen) <= 64 * 8 * 4 * 3 // 300


def test_lengths_of_many_steps_are_those_of_the_draws(mismatch):
    for occurrence in range(60):
        drawn = mismatch.at(occurrence % 2, occurrence)
        found = mismatch.lengths(occurrence % 2, occurrence)
        assert found == (3, sum(len(each.response_ids) for each in drawn))


def test_the_fingerprint_of_rows_is_that_of_the_first_version():
    assert data_fingerprint(FORGET) == "sha256:2ac4077ac9d7007a"
    retain = encoded("retain", *(([1], ids) for ids in RETAIN))
    assert data_fingerprint(retain) == "sha256:cc0faa1d1c58c66a"
    turns = EncodedRows("chat", "chat.jsonl")
    for row in range(2500):
        turns.append([([row], [row, 7]), ([row, row], [1])], Place(row + 1), "")
    spelled = EncodedRows.__mro__[1].update_digest
    one, other = _Bytes(), _Bytes()
    turns.update_digest(one)
    spelled(turns, other)
    assert one.data == other.data
    assert one.data.startswith(b"((0,), (0, 7))((0, 0), (1,))((1,), (1, 7))")


class _Bytes:
    data = b""

    def update(self, data):
        self.data += data


def test_the_fingerprint_of_a_pool_draws_nothing(mismatch, monkeypatch):
    monkeypatch.setattr(AnswerPool, "choose", None)
    found = data_fingerprint(mismatch)
    forget, retain = texts("forget", "ab", "cd"), texts("retain", *"abcde", "ab", "cd")
    others = [
        ({"forget": texts("forget", "ab", "ce"), "retain": retain}, {}, 0, "mismatch"),
        ({"forget": forget, "retain": texts("retain", *"abcde", "ab", "ce")}, {}, 0, "mismatch"),
        ({"forget": forget, "retain": retain}, {"per_prompt": 2}, 0, "mismatch"),
        ({"forget": forget, "retain": retain}, {}, 1, "mismatch"),
        ({"forget": forget, "retain": retain}, {}, 0, "other"),
    ]
    for rows, options, seed, name in others:
        stream = MismatchStream(**{"per_prompt": 3, **options})
        assert data_fingerprint(stream.encode(name, CODEC, rows, seed)) != found
    same = MismatchStream(per_prompt=3).encode(
        "mismatch", CODEC, {"forget": forget, "retain": retain}, 0
    )
    assert data_fingerprint(same) == found


def test_a_pool_takes_no_copy_of_its_answers_and_travels_to_workers(mismatch):
    assert all(not isinstance(each, list | tuple) for each in vars(mismatch._pool).values())
    away = pickle.loads(pickle.dumps(mismatch))
    assert [away.at(n % 2, n) for n in range(9)] == [mismatch.at(n % 2, n) for n in range(9)]


def test_an_answer_that_is_cut_is_compared_as_it_is_cut():
    long = [Answer((5, 6, 7), "1"), Answer((5, 6, 8), "2"), Answer((4,), "3")]
    pool = AnswerPool("p", long, 4, seed=0)
    (own,) = pool.keys([(5, 6)])
    assert {place for first in range(9) for place in pool.choose(own, 2, first, 1)} == {2}
    assert {place for first in range(9) for place in pool.choose(own, 3, first, 1)} == {0, 1, 2}
    assert pool.answer(0, 2).ids == (5, 6)
    assert [pool.length(place, 2) for place in range(3)] == [2, 2, 1]
    assert not AnswerPool("p", long[:2], 4, seed=0).serves(own, 2)
