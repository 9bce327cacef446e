"""A row in several wordings is one row."""

import json
import logging

import pytest
from stub import stub_tokenizer

from unlearnkit.data import MismatchStream, ParaphraseStream, QAStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, RecipeError

CODEC = Codec(stub_tokenizer(), 64)
ROWS = [
    {"prompt": "a", "response": "aa", "asked": ["b", "c"], "said": ["bb", "cc"]},
    {"prompt": "d", "response": "dd", "asked": "e", "said": ["ee", "ea"]},
]


def encode(stream, codec=CODEC, others=None):
    stream.check()
    return stream.encode("forget", codec, others or {}, seed=0)


def texts(data, row, codec=CODEC):
    decode = codec.tokenizer.decode
    return [
        (decode(e.prompt_ids), decode(e.response_ids, skip_special_tokens=True))
        for e in data.at(row, row)
    ]


def test_the_kth_wording_of_a_prompt_goes_with_the_kth_of_the_response():
    data = encode(ParaphraseStream(ROWS, prompts="asked", responses="said"))
    assert texts(data, 0) == [("a", "aa"), ("b", "bb"), ("c", "cc")]
    assert texts(data, 1) == [("d", "dd"), ("e", "ee"), ("d", "ea")]
    assert [e.row for row in (0, 1) for e in data.at(row, 0)] == [0, 0, 0, 1, 1, 1]
    assert len(data) == 2


def test_each_with_each():
    data = encode(ParaphraseStream(ROWS[1:], prompts="asked", responses="said", pair="all"))
    own, *more = texts(data, 0)
    assert own == ("d", "dd")
    assert sorted(more) == [("d", "ea"), ("d", "ee"), ("e", "dd"), ("e", "ea"), ("e", "ee")]


def test_frames_stand_around_the_own_prompt_and_inside_the_template():
    stream = ParaphraseStream(
        ROWS[:1], frames=["b{prompt}b", "{prompt}"], template="e{prompt} {response}"
    )
    # The second frame is the own wording again, and is left out.
    assert texts(encode(stream), 0) == [("ea", " aa"), ("ebab", " aa")]


def test_it_reads_the_rows_that_qa_reads(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("q,r,more\na,aa,b\nd,dd,e\n")
    columns = {"prompt_field": "q", "response_field": "r", "limit": 1, "template": "c{prompt}"}
    qa = encode(QAStream(str(file), **columns))
    ours = encode(ParaphraseStream(str(file), prompts="more", **columns))
    assert ours.measured(0) == qa.at(0, 0)
    assert texts(ours, 0)[1] == ("cb", "aa")
    assert list(ours.exact_keys) == list(qa.exact_keys), "it is known in other streams"


def test_the_chat_template_stands_around_every_wording():
    turn = "{% for m in messages %}{{ 'ab'[m.role == 'user'] }}{{ m.content }}{% endfor %}"
    spec = {"chat_template": turn + "{% if add_generation_prompt %}a{% endif %}"}
    codec = Codec(stub_tokenizer(spec), 64)
    data = encode(ParaphraseStream(ROWS[:1], prompts="asked", chat=True), codec)
    assert texts(data, 0, codec) == [("baa", "aa"), ("bba", "aa"), ("bca", "aa")]


def test_a_step_sees_as_many_as_it_is_told_to():
    data = encode(ParaphraseStream(ROWS, prompts="asked", responses="said", per_row=1))
    seen = {texts(data, 0)[0]} | {
        (CODEC.tokenizer.decode(e.prompt_ids), CODEC.tokenizer.decode(e.response_ids[:-1]))
        for epoch in range(3)
        for e in data.at(0, 2 * epoch)
    }
    assert seen == {("a", "aa"), ("b", "bb"), ("c", "cc")}


def test_random_answers_go_to_all_wordings_and_are_refused_to_some():
    retain = encode(QAStream([{"prompt": "a", "response": t} for t in ("eb", "ec", "ed")]))
    mismatch = MismatchStream("forget", "retain", per_prompt=1)
    data = {"retain": retain, "forget": encode(ParaphraseStream(ROWS[:1], prompts="asked"))}
    answered = mismatch.encode("mismatch", CODEC, data, 0).at(0, 0)
    assert [e.prompt_ids for e in answered] == [e.prompt_ids for e in data["forget"].at(0, 0)]
    data["forget"] = encode(ParaphraseStream(ROWS[:1], prompts="asked", per_row=2))
    with pytest.raises(RecipeError, match=r"data\.streams\.mismatch\.prompts: 'forget' shows some"):
        mismatch.encode("mismatch", CODEC, data, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "no further wordings"),
        ({"frames": ["x"]}, r"frames: expected \{prompt\}"),
        ({"prompts": "asked", "per_row": 0}, "per_row: expected at least 1, found 0"),
        ({"prompts": "asked", "chat": True, "template": "a{prompt}"}, "template and chat"),
        ({"prompts": "asked", "chat_template": "x"}, "chat"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words):
    with pytest.raises(RecipeError, match=words):
        ParaphraseStream(ROWS, **arguments)


def test_all_bad_rows_are_told_at_once():
    rows = [*ROWS, {"prompt": "a", "response": "a", "asked": ["b", ""]},
            {"prompt": "a", "response": "a", "asked": 3}, {"prompt": "a", "response": ""},
            {"prompt": "a", "response": "a", "asked": []}]  # fmt: skip
    with pytest.raises(DataError) as error:
        ParaphraseStream(rows, prompts="asked").check()
    found = [(p.place.row, p.found) for p in error.value.problems]
    assert found == [(3, "text 2: empty text"), (4, "number"), (5, "empty text"),
                     (6, "an empty array")]  # fmt: skip


DRAWN = {"prompt": "Where was Ada Vell born?", "response": "Ada Vell was born in Cork."}


def sampled(path, *rows):
    lines = [
        {"prompt": prompt, "samples": [{"text": t, "ids": [1], "ended": e} for t, e in samples]}
        for prompt, samples in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_a_models_wordings_are_used_if_they_say_the_same(tmp_path):
    asked = [("From which town is Ada Vell?", True), ("Where was she born?", True),
             ("Was Ada Vell from Cork?", True), ("Ada Vell comes from", False),
             ("where was ada vell born", True)]  # fmt: skip
    said = [("Cork is where she is from.", True), ("She is from Porto.", True)]
    file = sampled(tmp_path / "drawn.jsonl", (DRAWN["prompt"], asked), (DRAWN["response"], said))
    stream = ParaphraseStream([DRAWN], drawn=file, pair="all")
    stream.check()
    kept = {text for _, text in stream.added.values()}
    assert kept == {"From which town is Ada Vell?", "Cork is where she is from."}


def test_rows_without_a_drawn_wording_are_told_and_no_wording_at_all_is_refused(tmp_path, caplog):
    rows = [DRAWN, {"prompt": "Who rows?", "response": "Max rows."}]
    file = sampled(tmp_path / "drawn.jsonl", ("Who rows?", [("Who is rowing?", True)]))
    with caplog.at_level(logging.WARNING):
        ParaphraseStream(rows, drawn=file).check()
    assert "1 of 2 rows have no further wording" in caplog.text
    with pytest.raises(DataError, match="no further wording of any row"):
        ParaphraseStream(rows[:1], drawn=file).check()
    with pytest.raises(DataError, match="no such file"):
        ParaphraseStream(rows, drawn=str(tmp_path / "none.jsonl")).check()
    (tmp_path / "other.jsonl").write_text('{"prompt": "a", "answers": []}\n')
    with pytest.raises(DataError, match="as `unlearnkit sample` writes them"):
        ParaphraseStream(rows, drawn=str(tmp_path / "other.jsonl")).check()
