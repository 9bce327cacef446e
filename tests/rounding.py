"""Tolerances that follow from a dtype and from the size of the numbers, not from one machine.

Processors add the same numbers in different orders and with different kernels, so that their
results differ by some units in the last place of the largest number on the way.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

FORWARD = 64
"""Roundings of a forward pass of a stub: two blocks of 16 dimensions, and a head."""


def margin(terms: int, size: float, dtype: torch.dtype = torch.float32) -> float:
    """Most that a sum of ``terms`` rounded numbers of at most ``size`` can be off.

    Args:
        terms: Roundings one after another: numbers added up, and operations before.
        size: Of the largest number on the way. The difference of two sums near -400 has the error
            of numbers of 400, however small it is itself.
        dtype: In which it is worked out.

    References:
        Higham 2002, Accuracy and Stability of Numerical Algorithms, sec. 3.1.
    """
    return terms * torch.finfo(dtype).eps * size


def near(
    expected: Any, terms: int = FORWARD, size: float = 0.0, dtype: torch.dtype = torch.float32
) -> Any:
    """What equals ``expected``, a number, list, dict or tensor, but for rounding.

    Args:
        expected: The right value.
        terms: As in `margin`.
        size: As in `margin`, where it is larger than the value.
        dtype: As in `margin`.
    """
    share = margin(terms, 1.0, dtype)
    if isinstance(expected, torch.Tensor):
        expected = expected.detach().double().numpy()
    return pytest.approx(expected, rel=share, abs=share * size)
