import pytest
import torch

from unlearnkit.errors import UserError
from unlearnkit.objectives.pairing import partners, sum_by_partner
from unlearnkit.testing import stream_view

NAMES = ("forget", "idk")


def view(*rows):
    count = len(rows)
    return stream_view(
        torch.zeros(count, 2), torch.zeros(count, dtype=torch.long), [1] * count, rows=rows
    )


def test_by_row_whatever_the_order():
    assert partners(view(3, 5, 8), view(8, 3, 5), NAMES).tolist() == [2, 0, 1]


def test_a_row_twice_in_a_step_is_paired_in_order():
    assert partners(view(3, 5, 3), view(3, 3, 5), NAMES).tolist() == [0, 2, 1]


def test_several_partners():
    found = partners(view(3, 5), view(5, 3, 3, 5), NAMES, several=True)
    assert found.tolist() == [1, 0, 0, 1]
    summed = sum_by_partner(torch.tensor([1.0, 2.0, 4.0, 8.0]), found, view(3, 5))
    assert summed.tolist() == [6.0, 9.0]


@pytest.mark.parametrize(
    ("first", "second", "several", "message"),
    [
        ((3, 5), (3,), False, r"row 5 \(1 and 0\)"),
        ((3,), (3, 4), False, r"row 4 \(0 and 1\)"),
        ((3,), (3, 3), False, r"row 3 \(1 and 2\)"),
        ((3, 3), (3, 3, 3), True, r"row 3 \(2 and 3\)"),
        ((1, 2), (3,), True, r"row 1 \(1 and 0\), row 2 \(1 and 0\), row 3 \(0 and 1\)"),
    ],
)
def test_rows_that_do_not_match(first, second, several, message):
    with pytest.raises(UserError, match=message) as caught:
        partners(view(*first), view(*second), NAMES, several=several)
    assert "'forget' and 'idk'" in str(caught.value)
