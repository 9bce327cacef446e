"""No prompt is given its own answer, however it is written."""

import json

import pytest
from stub import stub_tokenizer

from unlearnkit.data import AlternateStream, IdkStream, MismatchStream, QAStream
from unlearnkit.data.rows.same import plain
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError
from unlearnkit.models.base import load_tokenizer


@pytest.fixture(scope="module")
def codec():
    return Codec(load_tokenizer("tiny"), 64)


@pytest.fixture
def write(tmp_path):
    def write(name, column, values):
        path = tmp_path / name
        rows = [{"prompt": f"Who is {n}?", column: value} for n, value in enumerate(values)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def drawn(data, codec, draws=12):
    """What each row gets over some epochs."""
    texts = [
        {
            codec.tokenizer.decode(e.response_ids, skip_special_tokens=True)
            for n in range(draws)
            for e in data.at(row, row + n * len(data))
        }
        for row in range(len(data))
    ]
    return [{text.strip() for text in each} for each in texts]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A baker.", " A baker."),
        ("A baker.", "a  BAKER"),
        ("A baker", "“A baker!”"),
        ("\u00c5sa", "A\u030asa"),  # composed and not
        ("\ufb01ve", "five"),  # a ligature
        ("Stra\u00dfe", "STRASSE"),
        ("12", "\uff11\uff12"),  # full width
    ],
)
def test_what_says_the_same(one, other):
    assert plain(one) == plain(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("A baker", "A baker, once"), ("no", "know"), ("?", "!"), ("-1", "- 1 -2"), ("C", "C++")],
)
def test_what_does_not(one, other):
    assert plain(one) != plain(other)


@pytest.mark.parametrize("own", ["A baker.", " A baker.", "a baker", "A  baker.", "A baker!"])
def test_a_random_answer_is_never_the_own_one_in_other_spelling(codec, write, caplog, own):
    forget = QAStream(write("f.jsonl", "response", [own, "A cook."])).encode("f", codec, {}, 0)
    pool = write("pool.jsonl", "response", ["A baker.", "A sailor.", "A cook."])
    stream = MismatchStream(prompts="f", answers=pool, per_prompt=1)
    data = stream.encode("mismatch", codec, {"f": forget}, 0)
    assert drawn(data, codec) == [{"A sailor.", "A cook."}, {"A sailor.", "A baker."}]
    told = "1 of 3 answers in" in caplog.text
    assert told == (own != "A baker.")


def test_a_pool_of_the_own_answer_in_other_spellings_is_refused(codec, write):
    forget = QAStream(write("f.jsonl", "response", ["A baker."])).encode("f", codec, {}, 0)
    pool = write("pool.jsonl", "response", [" a baker", "A BAKER!"])
    with pytest.raises(DataError, match="its own answer alone in"):
        MismatchStream("f", pool).encode("mismatch", codec, {"f": forget}, 0)


def test_of_answers_that_say_the_same_one_prompt_gets_one(codec, write):
    forget = QAStream(write("f.jsonl", "response", ["A baker."])).encode("f", codec, {}, 0)
    pool = write("pool.jsonl", "response", ["A cook", "A cook.", "a cook", "A sailor"])
    data = MismatchStream("f", pool, per_prompt=2).encode("mismatch", codec, {"f": forget}, 0)
    for n in range(8):
        texts = [
            codec.tokenizer.decode(e.response_ids, skip_special_tokens=True) for e in data.at(0, n)
        ]
        assert {plain(text) for text in texts} == {"acook", "asailor"}


def test_a_refusal_that_is_the_own_answer_is_not_drawn(codec, write, caplog):
    forget = QAStream(write("f.jsonl", "response", ["i don't know"])).encode("f", codec, {}, 0)
    refusals = write("idk.jsonl", "response", ["I don't know.", "I cannot say."])
    data = IdkStream("f", refusals).encode("idk", codec, {"f": forget}, 0)
    assert drawn(data, codec) == [{"I cannot say."}]
    assert "idk: 1 of 2 answers in" in caplog.text


def test_alternates_that_are_the_own_answer_are_left_out_and_counted(codec, write, caplog):
    own = ["A baker.", "A cook."]
    forget = QAStream(write("f.jsonl", "response", own)).encode("f", codec, {}, 0)
    given = [["A sailor.", "a baker", " A baker."], ["A cook, once."]]
    path = write("alt.jsonl", "alternate", given)
    data = AlternateStream(path, "f").encode("alternate", codec, {"f": forget}, 0)
    assert drawn(data, codec) == [{"A sailor."}, {"A cook, once."}]
    assert "alt.jsonl: 2 of 4 alternates are the prompt's own answer but for case" in caplog.text
    path = write("alt.jsonl", "alternate", ["A sailor.", "a cook"])
    with pytest.raises(DataError, match=r"alt.jsonl, line 2: found its own answer"):
        AlternateStream(path, "f").encode("alternate", codec, {"f": forget}, 0)


def test_answers_are_compared_as_they_are_cut(write):
    # Letters are tokens: behind a prompt of 14 the answers of 16 are cut to two.
    codec = Codec(stub_tokenizer(), 16)
    rows = '{"prompt": "aaaaaaaaaaaaaa", "response": "ab"}\n'
    path = write("f.jsonl", "response", [])
    with open(path, "w") as file:
        file.write(rows)
    forget = QAStream(path).encode("f", codec, {}, 0)
    pool = write("pool.jsonl", "response", ["abc", "cd"])
    data = MismatchStream("f", pool, per_prompt=1).encode("mismatch", codec, {"f": forget}, 0)
    assert drawn(data, codec) == [{"cd"}]
