from __future__ import annotations

from unlearnkit.report.words import mark_recited


def test_runs_of_three_words_are_recited_and_shorter_ones_chance() -> None:
    pieces = mark_recited("I saw the cat sat on it", "the cat sat down")
    assert [tuple(each) for each in pieces] == [
        ("I saw ", False),
        ("the cat sat", True),
        (" on it", False),
    ]
    assert not any(each.recited for each in mark_recited("the cat ran", "a cat sat down"))


def test_a_true_answer_of_one_word_is_recited_whole() -> None:
    assert [tuple(each) for each in mark_recited("In Paris", "Paris")] == [
        ("In ", False),
        ("Paris", True),
    ]
    assert mark_recited("", "Paris") == []
