"""Texts that a published file joins in one field, as suites read them."""

from __future__ import annotations

import csv
import json
import logging

import pytest
from stub import stub_model, stub_tokenizer

from unlearnkit.errors import DataError, RecipeError
from unlearnkit.suites import Hallucination, MultipleChoice, Rwku, SuiteContext, Tofu
from unlearnkit.suites.parts.published import Part, read_parts

CONTEXT = SuiteContext(max_new_tokens=2)
TRUTHFUL = {"question_field": "Q", "true_field": "Correct", "invented_field": "Incorrect"}


def truthful(tmp_path, rows=(("e?", "a; e;", "b; c"),)):
    """A table as TruthfulQA's: answers of a question joined by semicolons."""
    with (tmp_path / "questions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Q", "Correct", "Incorrect"])
        writer.writerows(rows)
    return {"data": str(tmp_path), "trained": "questions", "unseen": None, **TRUTHFUL}


def test_each_true_answer_is_held_against_each_invented_one(tmp_path):
    suite = Hallucination(**truthful(tmp_path), separator="; ")
    rows = suite.run(stub_model(), stub_tokenizer(), CONTEXT).rows
    pairs = [(row["reference"], row["invented"]) for row in rows]
    assert pairs == [("a", "b"), ("a", "c"), ("e", "b"), ("e", "c")]
    # Bits per token, blank and end included: 9/3 for a, 10/3 for b and c, 11/3 for e.
    assert suite.aggregate(rows)["trained/preference_rate"] == 0.5


def test_joined_answers_without_a_separator_are_told(tmp_path, caplog):
    rows = [(f"{letter}?", "a; e", "b; c") for letter in "abcde"]
    suite = Hallucination(**truthful(tmp_path, rows))
    with caplog.at_level(logging.WARNING):
        assert len(suite.run(stub_model(), stub_tokenizer(), CONTEXT).rows) == 5
    assert [m for m in caplog.messages if "5 of 5 texts of 'Correct' hold '; '" in m]
    assert [m for m in caplog.messages if "5 of 5 texts of 'Incorrect' hold '; '" in m]


def test_a_joined_field_stands_in_for_a_list(tmp_path):
    (tmp_path / "one.csv").write_text("q,wrong\na,b; c\n")
    part = Part("one", "one", ("q",), ("wrong",))
    (item,) = read_parts(str(tmp_path), [part], separator="; ")["one"]
    assert item.fields["wrong"] == ["b", "c"]
    with pytest.raises(DataError, match=r"found text, expected a list of texts \(or joined"):
        read_parts(str(tmp_path), [part])


def test_joined_choices_are_questions_with_several(tmp_path):
    file = tmp_path / "mc.jsonl"
    file.write_text(json.dumps({"question": "a?", "choices": "b; c; d", "answer": "c"}) + "\n")
    suite = MultipleChoice(str(file), separator="; ")
    (row,) = suite.run(stub_model(), stub_tokenizer(), CONTEXT).rows
    assert (row["choices"], row["reference"]) == (3, "B")
    with pytest.raises(DataError, match="or joined texts with `separator`"):
        MultipleChoice(str(file)).check(stub_tokenizer(), CONTEXT)


@pytest.mark.parametrize("suite", [Hallucination, MultipleChoice, Rwku, Tofu])
def test_a_separator_at_which_nothing_can_be_cut_is_refused(suite):
    with pytest.raises(RecipeError, match="separator: expected text"):
        suite("somewhere", separator="")
