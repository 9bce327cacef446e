from __future__ import annotations

import pytest

from unlearnkit.errors import RecipeError
from unlearnkit.suites.parts.splitter import check_splitter, without_ascii_words

ROWS = [{"stream": "forget", "reference": text} for text in ("Ada", "Ада", "吾輩", "Ada и Бо")]


def test_texts_without_a_word_in_ascii_are_told_where_they_count_0() -> None:
    (note,) = without_ascii_words(ROWS, "published")
    assert note.startswith("forget: 2 of 4 true texts have no word in ASCII letters")
    assert without_ascii_words(ROWS, "unicode") == []
    assert without_ascii_words(ROWS[:1], "published") == []


def test_another_splitter_is_refused() -> None:
    assert check_splitter("tofu", "published") == "published"
    with pytest.raises(RecipeError, match="tofu: splitter is one of unicode, published"):
        check_splitter("tofu", "ascii")  # pyright: ignore
