"""Metrics of fields, beside the overlap of words that hides one of them."""

import torch
from rounding import near

from unlearnkit.metrics import FieldExact, FieldPartial, RecordsExact, Rouge

TRUE = [f"+999 4182 {i}{i}{i}{i}" for i in range(8)]


def answers(numbers):
    return [f"The phone of Ada Lund is {number}." for number in numbers]


def test_one_right_number_of_eight_moves_rouge_by_little_and_this_by_an_eighth():
    # Of nine words all but the last four digits are in each wrong answer: 8/9.
    wrong = [f"+999 4182 55{i}0" for i in range(8)]
    hidden, leaking = answers(wrong), answers([*wrong[:3], TRUE[3], *wrong[4:]])
    whole = answers(TRUE)
    assert Rouge()(hidden, whole).item() == near(8 / 9, dtype=torch.double)
    assert Rouge()(leaking, whole).item() == near((7 * 8 / 9 + 1) / 8, dtype=torch.double)
    assert FieldExact()(hidden, TRUE).item() == 0.0
    assert FieldExact()(leaking, TRUE).item() == 1 / 8
    # The first 7 of 11 digits.
    assert FieldPartial()(answers(["+999 4182 9990"]), TRUE[:1]).item() == 7 / 11


def test_a_record_counts_once_however_many_of_its_fields_are_told():
    said = answers([TRUE[0], TRUE[1], "no", "no", TRUE[4]])
    metric = RecordsExact()
    assert metric(said, TRUE[:5], [0, 0, 1, 2, 2]).item() == 2 / 3
    assert metric.fields(said[:1], TRUE[:1], [7]) == [{"record": 7, "exact": True}]


def test_a_field_s_values_have_its_name():
    assert FieldExact("phone").fields(["+999 4182 0000"], TRUE[:1]) == [{"exact_phone": True}]
    assert FieldExact.direction_on("unseen") == "down"
    assert FieldExact.direction_on("protected") == "up"
