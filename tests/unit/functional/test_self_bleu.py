"""Likeness of token sequences among each other."""

from __future__ import annotations

import math
import sys
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounding import near

from unlearnkit.functional.self_bleu import least_alike, self_bleu

ANSWERS = st.lists(st.lists(st.integers(0, 5), max_size=12), min_size=2, max_size=6)
TINY = sys.float_info.min


def said(*texts: str) -> list[list[str]]:
    return [text.split() for text in texts]


def test_it_is_bleu_against_all_others() -> None:
    # "a b c d" shares with its references: 4 of 4 words, 2 of 3 pairs ("a b", "c d"), no triple.
    first, *_ = self_bleu(said("a b c d", "a b x y", "z c d w"))
    assert first == near(math.exp(sum(map(math.log, (1.0, 2 / 3, TINY, TINY))) / 4))


def test_counts_are_clipped_by_the_reference_that_has_most() -> None:
    first, *_ = self_bleu(said("a a a", "a b a", "b a b"))
    assert first == near(math.exp(sum(map(math.log, (2 / 3, TINY, TINY, TINY))) / 4))


def test_an_answer_shorter_than_the_nearest_one_is_penalised() -> None:
    # Lengths 4, 6 and 8: the nearest to 4 is 6.
    first, *_ = self_bleu(said("a b c d", "a b c d e f", "g h i j k l m n"))
    assert first == near(math.exp(1 - 6 / 4))
    longer, *_ = self_bleu(said("a b c d", "a b c", "e f g h i"))
    assert longer == near(math.exp(sum(map(math.log, (3 / 4, 2 / 3, 1 / 2, TINY))) / 4))


def test_an_answer_below_four_tokens_is_measured_by_those_it_has() -> None:
    first, second = self_bleu(said("a b", "a b"))
    assert first == second == near(TINY**0.5)


def test_an_answer_that_stands_alone_is_like_no_other() -> None:
    assert self_bleu(said("a b c")) == [0.0]
    assert self_bleu(said("", "a b"))[0] == 0.0
    assert self_bleu([]) == []


@given(ANSWERS)
def test_it_is_what_nltk_computes(answers) -> None:
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    for place, (own, found) in enumerate(zip(answers, self_bleu(answers), strict=True)):
        others = [*answers[:place], *answers[place + 1 :]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of n-grams that no reference has
            assert found == near(bleu.sentence_bleu(others, own))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_least_alike_come_in_their_own_order(count) -> None:
    texts = said("no one knows that", "no one knows that", "it rains in Oslo", "she took a ferry")
    assert least_alike(texts, count) == [[2], [2, 3], [0, 2, 3]][count - 1]
