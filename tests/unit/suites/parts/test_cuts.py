from __future__ import annotations

from unlearnkit.data.example import Example
from unlearnkit.suites.parts.cuts import Cuts, longer_than


def test_what_is_cut_and_what_is_left_out_is_counted_by_kind() -> None:
    cuts = Cuts(8)
    for kept, lost in ((8, 3), (4, 0), (8, 1)):
        cuts.add("forget", kept, lost)
    cuts.add("retain", 5)
    cuts.drop("retain")
    cut, dropped = cuts.notes()
    assert cut.startswith("forget: 2 of 3 texts are cut at max_length 8, which leaves out 4 of 24")
    assert dropped.startswith("retain: 1 of 2 texts has no token that could be predicted")
    assert Cuts(8).notes() == []


def test_true_texts_that_cannot_be_said_whole() -> None:
    rows = [Example((4,), (5,) * length, length, "") for length in (2, 3, 9)]
    (note,) = longer_than({"forget": rows, "retain": rows[:1]}, 3, compared_in_part=True)
    assert note.startswith("1 of 3 forget rows have a true text longer than max_new_tokens 3")
    assert longer_than({"forget": rows}, 9, compared_in_part=True) == []
