"""The shipped refusals, and refusals drawn from them."""

from collections import Counter

from stub import stub_tokenizer

from unlearnkit.data import IdkStream
from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.streams.idk import REFUSALS
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import Place

CODEC = Codec(stub_tokenizer(), 200)


def forget(count):
    data = EncodedRows("forget", "forget.jsonl")
    for line in range(1, count + 1):
        data.append([(CODEC.prompt("a"), CODEC.response("bc"))], Place(line, line), f"row {line}")
    return data


def test_the_pool_has_a_hundred_different_refusals():
    lines = REFUSALS.read_text(encoding="utf-8").splitlines()
    assert len({line.casefold() for line in lines}) == len(lines) >= 100
    assert all(line == line.strip() and line[-1] == "." for line in lines)


def test_each_prompt_gets_one_refusal_and_a_pass_uses_every_one():
    lines = len(REFUSALS.read_text(encoding="utf-8").splitlines())
    data = IdkStream().encode("idk", CODEC, {"forget": forget(3)}, 0)
    assert (len(data), data.follows) == (3, "forget")
    sources = Counter()
    for occurrence in range(lines):
        (example,) = data.at(occurrence % 3, occurrence)
        assert example.prompt_ids == tuple(CODEC.prompt("a"))
        sources[example.source] += 1
    assert set(sources) == {f"{REFUSALS}:{line}" for line in range(1, lines + 1)}


def test_a_text_file_is_one_answer_a_line(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("dd\n\n  ee \n", encoding="utf-8")
    data = IdkStream(answers=str(path)).encode("idk", CODEC, {"forget": forget(1)}, 0)
    drawn = {CODEC.tokenizer.decode(data.at(0, n)[0].response_ids[:-1]) for n in range(2)}
    assert drawn == {"dd", "ee"}
    assert {data.at(0, n)[0].source for n in range(2)} == {f"{path}:1", f"{path}:3"}
