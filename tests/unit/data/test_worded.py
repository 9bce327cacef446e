"""Wordings of a row come by turns, and stay one row."""

from collections import Counter

import numpy as np

from unlearnkit.data.encoded import data_fingerprint
from unlearnkit.data.worded import WordedRows
from unlearnkit.errors import Place


def rows_of(per_row, name="forget", **more):
    rows = WordedRows(name, "facts.jsonl", per_row, seed=3, **more)
    rows.append([([10 + n], [20] * (n + 1)) for n in range(4)], Place(1, line=1), text="one")
    rows.append([([30], [40, 41])], Place(2, line=2), text="two")
    return rows


def shown(rows, row, occurrence):
    return [example.prompt_ids[0] for example in rows.at(row, occurrence)]


def test_all_wordings_come_unless_there_is_a_bound():
    rows = rows_of(None)
    assert not rows.redrawn
    assert shown(rows, 0, 0) == shown(rows, 0, 7) == [10, 11, 12, 13]
    assert rows.lengths(0, 0) == (4, 1 + 2 + 3 + 4)
    assert {example.row for example in rows.at(0, 5)} == {0}


def test_each_comes_equally_often_over_as_many_epochs_as_there_are_wordings():
    rows = rows_of(3)
    assert rows.redrawn
    # Two rows: the row's n-th visit is somewhere in draws 2n and 2n + 1.
    drawn = [shown(rows, 0, 2 * epoch + epoch % 2) for epoch in range(4)]
    assert all(len(set(each)) == 3 for each in drawn)
    assert Counter(each for epoch in drawn for each in epoch) == dict.fromkeys(range(10, 14), 3)
    assert shown(rows, 1, 2) == [30]


def test_draws_of_one_occurrence_are_the_same_and_are_counted_as_they_are_drawn():
    rows, again = rows_of(2), rows_of(2)
    order = np.array([1, 0, 0, 1])
    every = [e for n, row in enumerate(order) for e in rows.at(int(row), 6 + n)]
    assert every == [e for n, row in enumerate(order) for e in again.at(int(row), 6 + n)]
    tokens = sum(len(example.response_ids) for example in every)
    assert rows.count(order, 6) == (len(every), tokens)


def test_the_digest_tells_how_wordings_are_drawn():
    whole, two, three = (data_fingerprint(rows_of(k)) for k in (None, 2, 3))
    assert len({whole, two, three}) == 3
    assert whole == data_fingerprint(rows_of(4)), "four of four are all"


def test_suites_measure_the_first_or_all():
    assert [e.prompt_ids for e in rows_of(1).measured(0)] == [(10,)]
    assert len(rows_of(1, measure_all=True).measured(0)) == 4
    assert [e.prompt_ids[0] for e in rows_of(1).examples()] == [10, 11, 12, 13, 30]
