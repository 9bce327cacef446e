"""Streams that hold the same rows, and streams of unequal length."""

from collections import Counter

from rows import FORGET, OVERLAPPING, PACED, write_rows

from unlearnkit.data import MismatchStream, QAStream
from unlearnkit.data.overlap import find_overlaps, warn_of_overlap
from unlearnkit.data.tokens.codec import Codec


def encode(letters, name):
    return QAStream(f"{name}.jsonl").encode(name, Codec(letters, 64), {}, 0)


def test_rows_in_both_streams_are_named_by_their_lines(here, letters, caplog):
    write_rows(here, forget=FORGET, retain=OVERLAPPING)
    streams = {name: encode(letters, name) for name in ("forget", "retain")}
    (overlap,) = find_overlaps(streams)
    assert [(a.line, b.line) for a, b in overlap.exact] == [(1, 2), (3, 1)]
    assert [(a.line, b.line) for a, b in overlap.loose] == [(2, 3)]
    warn_of_overlap(streams)
    assert "2 rows of forget.jsonl are also in retain.jsonl" in caplog.text
    assert "forget line 1 = retain line 2, forget line 3 = retain line 1" in caplog.text
    assert "1 more up to spaces and case (forget line 2 = retain line 3)" in caplog.text


def test_each_random_answer_comes_equally_often(here, letters):
    write_rows(here, **PACED)
    forget = encode(letters, "forget")
    stream = MismatchStream(answers="mismatch.jsonl", per_prompt=1)
    data = stream.encode("mismatch", Codec(letters, 64), {"forget": forget}, 0)
    assert (len(data), data.follows) == (3, "forget")
    epochs = 20
    counts = Counter(
        example.source
        for occurrence in range(epochs * len(data))
        for example in data.at(occurrence % len(data), occurrence)
    )
    assert sorted(counts) == [f"mismatch.jsonl:{line}" for line in range(1, 8)]
    assert sum(counts.values()) == 60
    assert set(counts.values()) == {8, 9}
