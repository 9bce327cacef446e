"""Tolerances that follow from a dtype and from the size of the numbers, not from one machine.

Processors add the same numbers in other orders and with other kernels. What they find differs by
some units in the last place of the largest number on the way.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

DOT = 16
"""Terms of a dot product in the stub, the longest sum on its way; means over rows are shorter."""


def margin(size: float = 1.0, terms: int = DOT, dtype: torch.dtype = torch.float32) -> float:
    """Most that a sum of ``terms`` rounded numbers of at most ``size`` can be off.

    Args:
        size: Of the largest number on the way. The difference of two sums near -400 has the error
            of numbers of 400, however small it is itself.
        terms: Numbers that are added up, and roundings before that.
        dtype: In which it is worked out.

    References:
        Higham 2002, "Accuracy and stability of numerical algorithms", sec. 4.2.
    """
    return terms * torch.finfo(dtype).eps * size


def near(
    expected: Any, size: float = 0.0, terms: int = DOT, dtype: torch.dtype = torch.float32
) -> Any:
    """What equals a number, or a list or dict of numbers, but for rounding.

    Args:
        expected: The right value.
        size: As in `margin`, where it is larger than the value.
        terms: As in `margin`.
        dtype: As in `margin`.
    """
    return pytest.approx(expected, rel=margin(1.0, terms, dtype), abs=margin(size, terms, dtype))
