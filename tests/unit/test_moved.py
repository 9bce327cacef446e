"""Names of data that left the package are explained, wherever they stand."""

from __future__ import annotations

import pytest

from unlearnkit.data.rows.reader import read_rows
from unlearnkit.errors import DataError, RecipeError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.moved import moved
from unlearnkit.suites import SuiteContext, Tofu

SAID = "tools/tiny/tofu/stored"


@pytest.mark.parametrize("name", ["tiny/tofu", "tiny/tofu/gold", "tiny/tofu/forget10.jsonl"])
def test_the_sentence_has_the_folder_and_the_successor(name):
    found = moved(name)
    assert found is not None
    assert SAID in found
    assert found.endswith("Use tiny/tofu_power.")


@pytest.mark.parametrize(
    "name", ["tiny/tofu_power", "tiny/tofu_power/gold", "tiny", "mine/tiny/tofu"]
)
def test_other_names_are_none_of_it(name):
    assert moved(name) is None


@pytest.mark.parametrize("path", ["tiny/tofu/forget10.jsonl", "tiny/tofu"])
def test_rows_of_before_are_not_looked_for_on_the_hub(path):
    with pytest.raises(DataError, match=SAID):
        read_rows(path)


def test_a_suite_of_before_says_where_its_data_are():
    with pytest.raises(DataError, match=SAID):
        Tofu("tiny/tofu").run(None, load_tokenizer("tiny"), SuiteContext())


@pytest.mark.parametrize("name", ["tiny/tofu", "tiny/tofu/gold"])
def test_a_model_of_before_is_not_looked_for_on_the_hub(name):
    with pytest.raises(RecipeError, match="there is no") as raised:
        load_tokenizer(name)
    assert SAID in (raised.value.hint or "")


def test_a_folder_of_that_name_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny" / "tofu").mkdir(parents=True)
    (tmp_path / "tiny" / "tofu" / "own.jsonl").write_text('{"text": "a"}\n')
    assert len(read_rows("tiny/tofu/own.jsonl").rows) == 1
