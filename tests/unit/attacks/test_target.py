"""The forget rows of a suite as an attack's target."""

from __future__ import annotations

import json

import pytest
from stub import stub_tokenizer

from unlearnkit.attacks.target import target_of
from unlearnkit.errors import RecipeError
from unlearnkit.suites import Copyright, Muse, SuiteContext


@pytest.fixture
def file(tmp_path):
    rows = [{"prompt": "ab", "response": "cde"}, {"prompt": "c", "response": "d" * 40}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path / "rows.jsonl")


def test_all_rows_are_there_whatever_the_limit_of_the_suite(file):
    context = SuiteContext(max_length=16)
    target = target_of(Copyright(forget=file, normal=file, limit=1), stub_tokenizer(), context)
    assert [len(each.response_ids) for each in target.examples] == [4, 15]
    # 40 letters and an end, of which 15 have room beside the prompt.
    assert target.cut == {1: 41 - 15}
    assert list(target.context.data) == ["forget", "normal"]
    assert target.stream.path == file


def test_a_suite_without_true_answers_is_refused():
    with pytest.raises(RecipeError, match="muse: it has no rows with a true answer"):
        target_of(Muse(), stub_tokenizer(), SuiteContext())
