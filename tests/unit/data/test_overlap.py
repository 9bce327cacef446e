import pytest

from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.overlap import find_overlaps, warn_of_overlap
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
