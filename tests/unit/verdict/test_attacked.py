from __future__ import annotations

from unlearnkit.verdict.attacked import attacked_rows


def curve(*values):
    return [{"bits": i, "forget/rougeL_recall": value} for i, value in enumerate(values)]


def values(**curves):
    (row,) = attacked_rows({"attack": "quantize", "curves": curves})
    assert row.address == "quantize/forget/rougeL_recall"
    return {when: each.value for when, each in row.values.items()}


def test_the_point_furthest_above_gold_counts():
    # 0.5 - 0.45 is less than 0.4 - 0.2.
    found = values(unlearned=curve(0.1, 0.4, 0.5), gold=curve(0.1, 0.2, 0.45))
    assert found == {"start": 0.1, "after": 0.4, "gold": 0.2}


def test_without_gold_the_highest_point_after_the_start_counts():
    assert values(unlearned=curve(0.9, 0.4, 0.3)) == {"start": 0.9, "after": 0.4}


def test_points_without_a_value_are_passed_over():
    assert values(unlearned=curve(0.1, None, 0.3), gold=curve(0.1, 0.0, None)) == {
        "start": 0.1, "after": 0.3,
    }  # fmt: skip
    assert attacked_rows({"attack": "quantize", "curves": {"unlearned": curve(0.1, None)}}) == []
    assert attacked_rows({"attack": "quantize", "curves": {"unlearned": curve(0.1)}}) == []
    assert attacked_rows({"attack": "quantize", "curves": {"gold": curve(0.1, 0.2)}}) == []
