from __future__ import annotations

import pytest

from unlearnkit.attacks.measuring import benign_split, split_rows
from unlearnkit.data.example import Example
from unlearnkit.errors import UserError

ROWS = [Example((4,), (5, row), row, "") for row in range(6)]


def test_the_attackers_rows_are_not_judged() -> None:
    split = split_rows(ROWS, held=2, limit=3, seed=1)
    assert len(split.held) == 2
    assert len(split.others) == 3
    assert not {e.row for e in split.held} & {e.row for e in split.others}
    assert split == split_rows(ROWS, 2, 3, 1)
    assert split.held != split_rows(ROWS, 2, 3, 2).held
    for wrong in (0, 6):
        with pytest.raises(UserError, match="--rows: expected 1 to 5"):
            split_rows(ROWS, wrong, 3, 1)
    with pytest.raises(UserError, match="does not hold, and there is 1 row"):
        split_rows(ROWS[:1], 1, 3, 1)


def test_another_wording_of_what_the_attacker_holds_is_not_judged() -> None:
    rows = [Example((wording,), (9, fact), 2 * fact + wording, "f") for fact in range(4)
            for wording in range(2)]  # fmt: skip
    for seed in range(6):
        split = split_rows(rows, held=2, limit=9, seed=seed)
        told = {each.response_ids for each in split.held}
        assert [e for e in rows if e.response_ids not in told] == split.others
    with pytest.raises(UserError, match="have an answer of the 3"):
        split_rows([e._replace(response_ids=(9,)) for e in rows], held=3, limit=9, seed=0)


def test_benign_rows_leave_all_forget_rows_to_be_judged() -> None:
    benign = [e._replace(row=e.row + 100) for e in ROWS[:2]]
    split = benign_split(benign, ROWS, held=2, limit=9, seed=0)
    assert split.others == ROWS
    assert [e.row for e in split.held] == [100, 101]
    with pytest.raises(UserError, match="the rows of --data"):
        benign_split(benign, ROWS, 3, 9, 0)


def test_the_sequences_of_a_row_are_drawn_together():
    # Three rows of two cuts each: what is trained on says nothing of what is measured.
    cuts = [Example((row, cut), (9, row), row, f"book:{row}") for row in range(3) for cut in (2, 8)]
    for seed in range(6):
        split = split_rows(cuts, held=1, limit=9, seed=seed)
        assert len(split.held) == 2
        assert len({each.row for each in split.held}) == 1
        assert {each.row for each in split.held} & {each.row for each in split.others} == set()
    with pytest.raises(UserError, match="expected 1 to 2"):
        split_rows(cuts, 3, 9, 0)
