"""What a chat template makes of a conversation."""

import datetime

import pytest
import torch
from rows import TURNS, write_chats
from stub import response_bits
from transformers.utils import chat_template_utils

from unlearnkit.data import ChatStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError

STRICT = (
    "{% for m in messages %}"
    + "".join(
        f"{{% if {wrong} %}}{{{{ raise_exception('{said}') }}}}{{% endif %}}"
        for wrong, said in (
            ("m['role']=='system'", "no system turns here"),
            ("(m['role']=='user') != (loop.index0 % 2 == 0)", "turns must alternate"),
        )
    )
    + TURNS.removeprefix("{% for m in messages %}")
)
DATED = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{{ date_string }}" + TURNS
)


@pytest.fixture
def refused(here):
    """One good row, a system turn, two of the user in a row, and one without an answer."""
    write_chats(here, "u:ab a:c", "s:e u:ab a:c", "u:ab u:b a:c", "u:ab a:c u:d")


@pytest.fixture
def several(here):
    """A conversation of two answers: a costs 2 bits, d 4, and EOS 3."""
    write_chats(here, "u:a a:aa u:b a:dd")


def encode(stream, tokenizer, date="2025-01-01"):
    return stream.encode("forget", Codec(tokenizer, 64, date=date), {}, 0)


def examples_of(data):
    return [example for row in range(len(data)) for example in data.at(row, 0)]


def mean_bits(model, examples, without_eos=False):
    rows = [response_bits(model, e.prompt_ids, e.response_ids) for e in examples]
    return torch.cat([row[:-1] if without_eos else row for row in rows]).mean().item()


def test_turns_that_a_template_refuses_are_named_in_its_own_words(refused, make_stub):
    _, tokenizer = make_stub({"chat_template": STRICT})
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


def test_a_system_turn_can_be_folded_into_the_first_user_turn(refused, make_stub, caplog):
    _, tokenizer = make_stub({"chat_template": STRICT})
    stream = ChatStream("chat.jsonl", fold_system=True, on_bad_rows="drop")
    data = encode(stream, tokenizer)
    assert [tokenizer.decode(e.prompt_ids) for e in examples_of(data)] == [
        "dabe",
        "de<unk><unk>abe",
    ]
    assert "2 of 4 rows dropped" in caplog.text


def test_answers_are_found_in_a_template_without_marks(here, make_stub):
    write_chats(here, "u:aaaa a:cc", "u:a a:eeee")
    model, tokenizer = make_stub({"chat_template": TURNS})
    examples = examples_of(encode(ChatStream("chat.jsonl"), tokenizer))
    assert [tokenizer.decode(e.response_ids) for e in examples] == ["cc<eos>", "eeee<eos>"]
    assert sum(len(e.response_ids) for e in examples) == 8
    bits = 2 * 3 + 4 * 4  # c costs 3 and e 4, and each EOS 3
    assert mean_bits(model, examples) == pytest.approx((bits + 2 * 3) / 8, abs=1e-5)
    assert mean_bits(model, examples, without_eos=True) == pytest.approx(bits / 6, abs=1e-5)


def set_clock(monkeypatch, day):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.combine(day, datetime.time())

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)


DAYS = [datetime.date(2025, 3, 1), datetime.date(2031, 12, 24)]


@pytest.mark.parametrize("reads_date_string", [True, False])
def test_ids_are_the_same_on_every_day(here, make_stub, monkeypatch, reads_date_string):
    write_chats(here, "u:ab a:c")
    _, tokenizer = make_stub({"chat_template": DATED})
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


def test_the_date_is_the_recipe_s(make_stub):
    _, tokenizer = make_stub({"chat_template": DATED})
    codec = Codec(tokenizer, 64, date="2024-07-26")
    text = codec.turns().template.render([{"role": "user", "content": "ab"}])
    assert text == "26 Jul 2024dab"


@pytest.mark.parametrize(
    ("turns", "texts", "bits"),
    [("last", ["dd<eos>"], 2 * 4), ("all", ["aa<eos>", "dd<eos>"], 2 * 2 + 2 * 4)],
)
def test_the_last_turn_or_all_of_them_are_learned(several, make_stub, turns, texts, bits):
    model, tokenizer = make_stub({"chat_template": TURNS})
    data = encode(ChatStream("chat.jsonl", turns=turns), tokenizer)
    examples = examples_of(data)
    assert len(data) == 1
    assert [tokenizer.decode(e.response_ids) for e in examples] == texts
    count = len(texts)
    with_eos = (bits + 3 * count) / (3 * count)
    assert mean_bits(model, examples) == pytest.approx(with_eos, abs=1e-5)
    assert mean_bits(model, examples, without_eos=True) == pytest.approx(
        bits / (2 * count), abs=1e-5
    )


def test_a_template_that_drops_earlier_turns_is_refused_for_all_turns(several, make_stub):
    _, tokenizer = make_stub({"chat_template": TURNS})
    tokenizer.chat_template = tokenizer.chat_template.replace("in messages", "in messages[-2:]")
    with pytest.raises(DataError) as caught:
        encode(ChatStream("chat.jsonl", turns="all"), tokenizer)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("chat.jsonl", 1)
    assert "changes turn 2" in problem.found
    assert "turns: last" in problem.expected
