import pytest

from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.overlap import find_overlaps, warn_of_overlap, warn_of_repeats, warn_of_unknown
from unlearnkit.errors import Place


def rows(name, *texts):
    data = EncodedRows(name, f"{name}.jsonl")
    for line, text in enumerate(texts, start=1):
        data.append([([4], [5])], Place(line, line), text)
    return data


def test_streams_that_share_nothing_are_quiet(caplog):
    warn_of_overlap({"forget": rows("forget", "a"), "retain": rows("retain", "b")})
    assert not caplog.text


@pytest.mark.parametrize("other", ["Who  rows?\nADA", " who rows? ada", "WHO ROWS?\tADA\n"])
def test_white_space_and_case_do_not_hide_a_row(other):
    streams = {"forget": rows("forget", "Who rows? Ada"), "retain": rows("retain", other)}
    (overlap,) = find_overlaps(streams)
    assert (overlap.exact, overlap.loose) == ([], [(Place(1, 1), Place(1, 1))])


def test_every_pair_of_streams_is_compared_and_long_lists_are_cut():
    texts = [f"row {number}" for number in range(12)]
    streams = {name: rows(name, *texts) for name in ("forget", "retain", "extra")}
    overlaps = find_overlaps(streams)
    assert [(o.first.name, o.second.name) for o in overlaps] == [
        ("forget", "retain"),
        ("forget", "extra"),
        ("retain", "extra"),
    ]
    assert "12 rows of forget.jsonl are also in retain.jsonl" in str(overlaps[0])
    assert "forget line 10 = retain line 10, and 2 more" in str(overlaps[0])


@pytest.mark.parametrize(("prompt", "told"), [([4], True), ([7], False)])
def test_forget_rows_behind_other_prompts_are_what_unseen_is_for(caplog, prompt, told):
    unseen = EncodedRows("unseen", "forget.jsonl")
    unseen.append([(prompt, [5])], Place(1), "a")
    warn_of_overlap({"forget": rows("forget", "a"), "unseen": unseen})
    assert bool(caplog.text) == told


def test_a_row_is_matched_once():
    streams = {"forget": rows("forget", "a"), "retain": rows("retain", "a", "A", "a")}
    (overlap,) = find_overlaps(streams)
    assert (overlap.exact, overlap.loose) == ([(Place(1, 1), Place(1, 1))], [])


def test_rows_that_only_join_to_the_same_text_are_no_overlap():
    """`a` with `bc` and `ab` with `c`: question and answer are a line each."""
    streams = {"forget": rows("forget", "a\nbc"), "retain": rows("retain", "ab\nc")}
    assert find_overlaps(streams) == []


def test_rows_that_the_anchor_holds_twice_are_told(caplog):
    warn_of_repeats({"forget": rows("forget", "a", "b", "a", "a")}, "forget")
    assert "2 rows of forget.jsonl are in forget more than once" in caplog.text
    assert "(line 3 = line 1, line 4 = line 1)" in caplog.text
    caplog.clear()
    pieces = EncodedRows("forget", "book.txt")
    pieces.extend([[([4], [5])], [([5], [6])]], Place(1), "a whole book")
    warn_of_repeats({"forget": pieces}, "forget")
    warn_of_repeats({"forget": rows("forget", "a", "b")}, "forget")
    warn_of_repeats({"retain": rows("retain", "a", "a")}, "forget")
    assert not caplog.text


def test_responses_of_unknown_tokens_alone_are_told(caplog):
    data = EncodedRows("forget", "f.jsonl")
    for line, response in enumerate(([0, 0, 2], [0, 5, 2], [0]), start=1):
        data.append([([4], response)], Place(line, line), str(line))
    warn_of_unknown({"forget": data}, None)
    warn_of_unknown({"forget": data}, 9)
    assert not caplog.text
    warn_of_unknown({"forget": data}, 0)
    assert "the responses of 2 rows are unknown tokens alone" in caplog.text
    assert "(line 1, line 3)" in caplog.text
