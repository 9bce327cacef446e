"""Cases 09, 10, 16 and 17: what a chat template makes of a conversation."""

import datetime
import json

import pytest
import torch
from stub import response_bits
from transformers.utils import chat_template_utils

from unlearnkit.data import ChatStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError


def encode(stream, tokenizer, date="2025-01-01"):
    return stream.encode("forget", Codec(tokenizer, 64, date=date), {}, 0)


def examples_of(data):
    return [example for row in range(len(data)) for example in data.at(row, 0)]


def mean_bits(model, examples, without_eos=False):
    rows = [response_bits(model, e.prompt_ids, e.response_ids) for e in examples]
    return torch.cat([row[:-1] if without_eos else row for row in rows]).mean().item()


def test_09_turns_that_a_template_refuses_are_named_in_its_own_words(in_case, make_stub):
    folder = in_case("09")
    _, tokenizer = make_stub(folder / "stub.json")
    with pytest.raises(DataError) as caught:
        encode(ChatStream("chat.jsonl"), tokenizer)
    system, twice, unanswered = caught.value.problems
    assert [p.line for p in (system, twice, unanswered)] == [2, 3, 4]
    assert "turn 1 (role system)" in system.found
    assert "no system turns here" in system.found
    assert "turn 2 (role user)" in twice.found
    assert "turns must alternate" in twice.found
    assert "turn 3 (role user) at the end" in unanswered.found
    assert "answer of the assistant" in unanswered.expected


def test_09_a_system_turn_can_be_folded_into_the_first_user_turn(in_case, make_stub, caplog):
    folder = in_case("09")
    _, tokenizer = make_stub(folder / "stub.json")
    stream = ChatStream("chat.jsonl", fold_system=True, on_bad_rows="drop")
    data = encode(stream, tokenizer)
    assert [tokenizer.decode(e.prompt_ids) for e in examples_of(data)] == [
        "dabe",
        "de<unk><unk>abe",
    ]
    assert "2 of 4 rows dropped" in caplog.text


def test_10_answers_are_found_in_a_template_without_marks(in_case, make_stub):
    folder = in_case("10")
    expected = json.loads((folder / "expected.json").read_text())
    model, tokenizer = make_stub(folder / "stub.json")
    examples = examples_of(encode(ChatStream("chat.jsonl"), tokenizer))
    assert [tokenizer.decode(e.response_ids) for e in examples] == ["cc<eos>", "eeee<eos>"]
    assert sum(len(e.response_ids) for e in examples) == expected["supervised_tokens_with_eos"]
    assert mean_bits(model, examples) == pytest.approx(
        expected["token_mean_bits_with_eos"], abs=1e-5
    )
    assert mean_bits(model, examples, without_eos=True) == pytest.approx(
        expected["token_mean_bits_no_eos"], abs=1e-5
    )


def set_clock(monkeypatch, day):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.combine(day, datetime.time())

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)


DAYS = [datetime.date(2025, 3, 1), datetime.date(2031, 12, 24)]


@pytest.mark.parametrize("reads_date_string", [True, False])
def test_16_ids_are_the_same_on_every_day(in_case, make_stub, monkeypatch, reads_date_string):
    folder = in_case("16")
    _, tokenizer = make_stub(folder / "stub.json")
    if not reads_date_string:
        tokenizer.chat_template = tokenizer.chat_template.replace(
            "{% if not date_string is defined %}{% set date_string", "{% if true %}{% set day"
        ).replace("{{ date_string }}", "{{ day }}")
        assert "date_string" not in tokenizer.chat_template
    unpinned, pinned = [], []
    for day in DAYS:
        set_clock(monkeypatch, day)
        message = [{"role": "user", "content": "ab"}]
        unpinned.append(tokenizer.apply_chat_template(message, tokenize=False))
        pinned.append(examples_of(encode(ChatStream("chat.jsonl"), tokenizer)))
    assert unpinned[0] != unpinned[1], "the template does not read the clock"
    assert pinned[0] == pinned[1]


def test_16_the_date_is_the_recipe_s(in_case, make_stub):
    folder = in_case("16")
    _, tokenizer = make_stub(folder / "stub.json")
    codec = Codec(tokenizer, 64, date="2024-07-26")
    text = codec.turns().template.render([{"role": "user", "content": "ab"}])
    assert text == "26 Jul 2024dab"


@pytest.mark.parametrize(
    ("turns", "texts"), [("last", ["dd<eos>"]), ("all", ["aa<eos>", "dd<eos>"])]
)
def test_17_the_last_turn_or_all_of_them_are_learned(in_case, make_stub, turns, texts):
    folder = in_case("17")
    expected = json.loads((folder / "expected.json").read_text())
    model, tokenizer = make_stub(folder / "stub.json")
    data = encode(ChatStream("chat.jsonl", turns=turns), tokenizer)
    examples = examples_of(data)
    assert len(data) == 1
    assert [tokenizer.decode(e.response_ids) for e in examples] == texts
    kind = f"{turns}_turn" if turns == "last" else f"{turns}_turns"
    assert mean_bits(model, examples) == pytest.approx(expected[f"{kind}_bits_with_eos"], abs=1e-5)
    assert mean_bits(model, examples, without_eos=True) == pytest.approx(
        expected[f"{kind}_bits_no_eos"], abs=1e-5
    )


def test_17_a_template_that_drops_earlier_turns_is_refused_for_all_turns(in_case, make_stub):
    folder = in_case("17")
    _, tokenizer = make_stub(folder / "stub.json")
    tokenizer.chat_template = tokenizer.chat_template.replace("in messages", "in messages[-2:]")
    with pytest.raises(DataError) as caught:
        encode(ChatStream("chat.jsonl", turns="all"), tokenizer)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("chat.jsonl", 1)
    assert "changes turn 2" in problem.found
    assert "turns: last" in problem.expected
