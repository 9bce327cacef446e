"""Values of fields in answers, worked out by hand."""

import math

import pytest

from unlearnkit.functional.fields import holds_value, is_number, share_of_value

PHONE = "+999 4182 7731"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The phone of Ada is +999 4182 7731.", True),
        ("call (999) 4182-7731 now", True),
        ("99941827731", True),
        ("+999 4182 77 31, 14 March", True),
        ("0+999/4182.7731", True),
        ("\uff0b\uff19\uff19\uff19 \uff14\uff11\uff18\uff12 \uff17\uff17\uff13\uff11", True),
        ("+999\u20114182\u20137731", True),
        ("+999 4182 7732", False),
        ("+999 4182, 7731", False),
        ("999 and 4182 and 7731", False),
        ("", False),
    ],
)
def test_of_a_number_the_digits_count(text, told):
    assert holds_value(text, PHONE) is told


@pytest.mark.parametrize(
    ("text", "value", "told"),
    [
        ("It is QUIET.Otter@post.example!", "quiet.otter@post.example", True),
        ("It is quiet.otter@mail.example", "quiet.otter@post.example", False),
        ("at 17 Mill Street", "7 Mill Street", False),
        ("at 7 Mill  street, Bergen", "7 Mill Street", True),
        ("Mill Street 7", "7 Mill Street", False),
        ("born 1971-03-14", "14.03.1971", False),
        ("born 1971/03/14", "1971-03-14", True),
        ("anything", "?", False),
    ],
)
def test_of_anything_else_the_words_count(text, value, told):
    assert holds_value(text, value) is told


def test_a_number_is_many_digits_without_letters():
    assert [is_number(each) for each in (PHONE, "12345", "1234", "5 Elm Street", "")] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "share"),
    [
        ("+999 4182 7731", PHONE, 1.0),
        ("+999 4182 9999", PHONE, 7 / 11),
        ("4182, then 7731", PHONE, 4 / 11),
        ("nothing", PHONE, 0.0),
        ("7 mill street", "7 Mill Street", 1.0),
        # " mill street" of "7 mill street"
        ("17 Elm and the mill street", "7 Mill Street", 12 / 13),
        ("", "7 Mill Street", 0.0),
    ],
)
def test_the_longest_run_as_a_share_of_the_value(text, value, share):
    assert share_of_value(text, value) == share


def test_a_value_without_words_has_no_share():
    assert math.isnan(share_of_value("a", "?"))
