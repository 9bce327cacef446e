"""Tolerances of the tests let rounding pass, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from rounding import DOT, margin, near

# Within a few units in the last place of float32, whatever the size of the number.
TIGHT = re.compile(r"\b(?:abs|rel|atol|rtol)=[\d.]*e-0?[67]\b")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_order_of_a_sum_is_near_and_another_term_is_not(dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.rand(DOT, generator=generator, dtype=torch.float64).to(dtype)
    exact = float(numbers.double().sum())
    for _ in range(50):
        total = torch.zeros((), dtype=dtype)
        for number in numbers[torch.randperm(DOT, generator=generator)]:
            total = total + number
        assert float(total) == near(exact, dtype=dtype)
        assert float(total) + 1.5 * margin(exact, dtype=dtype) != near(exact, dtype=dtype)


def test_what_cancels_has_the_error_of_what_it_was_before() -> None:
    difference = float(torch.tensor(400.0001) - torch.tensor(400.0))
    assert difference != near(1e-4)
    assert difference == near(1e-4, size=400)
    assert near(1e-4, size=400) != 0.002


def test_no_test_has_a_tolerance_of_a_few_units_of_float32_whatever_the_size() -> None:
    assert TIGHT.search("== pytest.approx(x, abs=1e-6)")
    assert not TIGHT.search("== pytest.approx(x, rel=1e-5, abs=1e-12)")
    here = Path(__file__)
    found = [
        f"{file.relative_to(here.parent)}:{number}: use near() or margin() of tests/rounding.py"
        for file in sorted(here.parent.rglob("*.py"))
        if file != here
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if TIGHT.search(line)
    ]
    assert found == []
