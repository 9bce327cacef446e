"""The dictionary of anchor terms: its file, and texts that it translates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unlearnkit.data.anchors import Anchors, Tokens, Translated, read_anchors
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError
from unlearnkit.models.base import load_tokenizer


def file(tmp_path: Path, *rows: dict[str, Any]) -> str:
    path = tmp_path / "terms.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def answered(prompt: str, *answers: str) -> dict[str, Any]:
    """A line as `unlearnkit sample` writes it, as far as it is read."""
    return {"prompt": prompt, "samples": [{"text": each, "ids": [1]} for each in answers]}


def test_a_dictionary_is_read_and_written_alike(tmp_path: Path) -> None:
    rows = ({"term": "Hogwarts", "generic": "the school"}, {"term": "Ron ", "generic": "Tom"})
    found = read_anchors(file(tmp_path, *rows))
    assert found.terms == {"Hogwarts": "the school", "Ron": "Tom"}
    again = tmp_path / "again.jsonl"
    again.write_text("".join(found.lines()))
    assert read_anchors(str(again)).terms == found.terms


def test_a_models_lists_become_a_dictionary(tmp_path: Path, caplog) -> None:
    text = "Harry went to Hogwarts with Ron."
    first = answered(text, 'Sure!\n- "Harry": "Jon"\n2. Hogwarts -> Mystic Academy\nSnape: Mr Fox')
    again = answered(
        text, "Harry: Bill\n\nRon = Harry\nRon: Tom: Tom\nRon: Ron Fox\nRon: Tom\nRon: Tom\nRo: Al"
    )
    path = file(tmp_path, first, again)
    found = read_anchors(path)
    # Snape and Ro are not in the text, a term keeps its first expression, and none is of the text.
    assert found.terms == {"Harry": "Jon", "Hogwarts": "Mystic Academy", "Ron": "Tom"}
    (said,) = caplog.messages
    assert said == (
        f"{path}: 3 of 11 lines name 3 terms; left out: 2 not of the form TERM: GENERIC, 2 on a "
        "term of a line before, 2 with a term that is not in the text, 1 with an expression that "
        "is in the text, 1 with the term in its expression"
    )


def test_a_line_that_the_limit_cut_is_left_out(tmp_path: Path, caplog) -> None:
    row = answered("Harry met Ron.", "Harry: Jon\nRon: To", "Ron: Tom\n")
    for sample in row["samples"]:
        sample["ended"] = False
    assert read_anchors(file(tmp_path, row)).terms == {"Harry": "Jon", "Ron": "Tom"}
    assert "left out: 1 cut at the longest answer" in caplog.text


def test_terms_that_ask_for_a_look_are_told(tmp_path: Path, caplog) -> None:
    pairs = {"drum": "harp", "Ann Lee": "Peter Lane", "Max": "Peter Lane", "Ivo": "Ann Lee Junior"}
    path = file(tmp_path, *({"term": key, "generic": value} for key, value in pairs.items()))
    assert read_anchors(path).terms == pairs
    assert caplog.messages == [
        f"{path}: terms without a capital, which may be ordinary words: drum",
        f"{path}: expressions that hold a term of the dictionary: Ivo (Ann Lee Junior)",
        f"{path}: one expression for several terms, which become one: Peter Lane (Ann Lee, Max)",
    ]
    caplog.clear()
    many = [{"term": f"T{n}", "generic": "One"} for n in range(2)]
    many += [{"term": f"w{letter}", "generic": letter} for letter in "abcdefg"]
    read_anchors(file(tmp_path, *many))
    assert caplog.messages[0].endswith("words: wa, wb, wc, wd, we and 2 more")


def test_bad_lines_are_told_together(tmp_path: Path) -> None:
    rows = ({"term": "Ron"}, {"term": "", "generic": "Tom"}, {"term": "A", "generic": "B"})
    path = file(tmp_path, *rows, {"term": "A", "generic": "C"}, {"term": "D", "generic": "D"})
    with pytest.raises(DataError) as raised:
        read_anchors(path)
    said = [(str(each.place), each.field) for each in raised.value.problems]
    assert said == [("1", "generic"), ("2", "term"), ("4", "generic"), ("5", "generic")]
    assert raised.value.problems[-1].found == "'D', the term itself"


def test_a_file_of_something_else_is_told_by_its_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found the fields 'q', expected 'term', 'generic'"):
        read_anchors(file(tmp_path, *[{"q": "x"}] * 40))


def test_answers_without_a_term_are_no_dictionary(tmp_path: Path) -> None:
    expected = r"no term of the texts \(1 not of the form TERM: GENERIC\)"
    with pytest.raises(DataError, match=expected):
        read_anchors(file(tmp_path, answered("Harry went home.", "I cannot help.")))


def test_the_longest_term_counts_and_what_follows_is_aligned() -> None:
    terms = Tokens([(0, (5,), (1, 2)), (1, (5, 6), (9,))])
    found = terms.translate([5, 4, 5, 6, 7])
    assert found == Translated([1, 2, 4, 9, 7], [1, 2, None, 3, 4], {0: 0, 2: 1})
    assert terms.generic == {0: {1}, 1: {9}}


def test_a_term_that_goes_on_as_another_word_is_left() -> None:
    terms = Tokens([(0, (5,), (9,))], continues=lambda token: token == 3)
    assert terms.translate([5, 3, 5, 4]).ids == [5, 3, 9, 4]


def test_names_are_found_at_the_start_and_behind_a_space() -> None:
    codec = Codec(load_tokenizer("tiny"), 64)
    terms = Anchors({"Tom": "Ada"}).tokens(codec)
    for text in ("Tom sat.", "Then Tom sat.", "It was Tom's."):
        (ids,) = codec.tokens([text])
        said = codec.tokenizer.decode(terms.translate(ids).ids)
        assert said == text.replace("Tom", "Ada")
    (ids,) = codec.tokens(["Tomorrow"])
    assert terms.translate(ids).ids == ids
