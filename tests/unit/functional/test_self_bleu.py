"""Likeness of texts among each other."""

from __future__ import annotations

import math

import pytest
from rounding import near

from unlearnkit.functional.self_bleu import least_alike, self_bleu


def test_it_is_bleu_against_all_others() -> None:
    # "a b c d" shares with its references: 4 of 4 words, 2 of 3 pairs ("a b", "c d"), no triple.
    first, *_ = self_bleu(["a b c d", "a b x y", "z c d w"])
    precisions = (1.0, 2 / 3, 1 / (2 * 2), 1 / (4 * 1))  # exponential smoothing
    assert first == near(100 * math.exp(sum(map(math.log, precisions)) / 4))


def test_a_text_that_stands_alone_is_like_no_other() -> None:
    assert self_bleu(["a b c"]) == [0.0]
    assert self_bleu(["", "a b"])[0] == 0.0
    assert self_bleu([]) == []


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_least_alike_come_in_their_own_order(count) -> None:
    texts = ["no one knows that", "no one knows that", "it rains in Oslo", "she took a ferry"]
    assert least_alike(texts, count) == [[2], [2, 3], [0, 2, 3]][count - 1]
