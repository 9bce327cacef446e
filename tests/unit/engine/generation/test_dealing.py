from __future__ import annotations

import pytest

from unlearnkit.engine.generation.dealing import over_batches, shares


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_each_batch_is_one_process_s_and_the_longest_take_no_more_than_needed(count) -> None:
    costs = [7, 6, 5, 4, 3, 2, 1]
    dealt = shares(costs, count)
    assert sorted(batch for each in dealt for batch in each) == list(range(len(costs)))
    assert all(each == sorted(each) for each in dealt)
    most = max(sum(costs[batch] for batch in each) for each in dealt)
    assert most == {1: 28, 2: 14, 3: 10, 8: 7}[count]


def test_one_process_runs_the_batches_in_their_order() -> None:
    counted: list[int] = []
    found = over_batches([], [1, 3, 2], "plan", lambda batch: batch * 10, counted.append)
    assert found == [0, 10, 20]
    assert counted == [0, 1, 2]
