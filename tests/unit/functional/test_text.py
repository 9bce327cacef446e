from __future__ import annotations

import math

import pytest

from unlearnkit.functional.text import (
    bleu,
    cut_at,
    distinct_n,
    ngram_entropy,
    refuses,
    repetition_rate,
    rouge,
    words,
)


def test_words_of_any_script() -> None:
    assert words("The Café's 2 cats; 吾輩は") == ["the", "café", "s", "2", "cats", "吾", "輩", "は"]
    assert words("🛶 ...") == []


def test_rouge_counts_the_longest_common_subsequence() -> None:
    found = rouge("a x c d", "a b c")
    assert (found.recall, found.precision) == (2 / 3, 2 / 4)
    assert found.f1 == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert math.isnan(rouge("a", "🛶").recall)


def test_bleu_of_equal_texts_is_100_and_of_fewer_than_four_tokens_nothing() -> None:
    assert bleu("the cat sat on it", "the cat sat on it") == pytest.approx(100)
    assert bleu("a dog ran off then", "the cat sat on it") < 10
    assert math.isnan(bleu("Rome", "Rome"))


def test_how_varied_a_text_is() -> None:
    units = ["a", "b", "a", "b", "a"]  # pairs ab ba ab ba
    assert distinct_n(units, 2) == 2 / 4
    assert repetition_rate(units, 2) == 2 / 4
    assert ngram_entropy(["a"] * 4) == 0.0
    assert ngram_entropy(units) > 0


def test_a_refusal_and_where_an_answer_ends() -> None:
    assert refuses("I'm sorry, but no.")
    assert not refuses("No.")
    assert cut_at("Ada.\n\nQ: who?", ["Q:", "\n\n"]) == "Ada."
    assert cut_at("Ada.", ["\n"]) == "Ada."
