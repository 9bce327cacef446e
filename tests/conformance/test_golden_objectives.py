"""Objectives against values measured on published code, through packing and engine."""

# Each registers its recipes.
import golden_open_unlearning  # noqa: F401
import golden_repositories  # noqa: F401
import pytest
import torch
from golden_objectives import Record, Values, differences, read_records
from golden_terms import check, terms_of


def test_objective_value_and_gradient_are_the_stored_ones(golden_objective):
    wrong = check(golden_objective)
    assert not wrong, "\n".join(wrong)


def test_an_unknown_objective_fails(tmp_path):
    with pytest.raises(LookupError, match="no_such"):
        terms_of(Record(tmp_path, "one", {"objective": "no_such"}))


def test_a_folder_without_records_fails(tmp_path):
    (tmp_path / "objectives.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no record"):
        read_records(tmp_path)


@pytest.mark.parametrize(
    ("found", "expected", "dtype"),
    [
        (2.00003, 2.0, torch.float32),
        (2.000005, 2.0, torch.float64),
        (float("nan"), 0.0, torch.float32),
        (1e-5, 0.0, torch.float32),
        (1e-9, 0.0, torch.float64),
    ],
)
def test_a_wrong_value_is_found(found, expected, dtype):
    right = Values(1.0, 1.0, 1.0, 1.0)
    lines = differences(right._replace(loss=found), right._replace(loss=expected), dtype)
    assert len(lines) == 1
