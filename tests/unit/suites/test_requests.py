"""The suite `requests` on a model whose probabilities are known."""

from __future__ import annotations

import json

import pytest
from rounding import near
from stub import stub_model, stub_tokenizer

from unlearnkit.data.streams.qa import QAStream
from unlearnkit.errors import DataError, RecipeError
from unlearnkit.suites import Requests, SuiteContext
from unlearnkit.suites.parts.bootstrap import bootstrap

CONTEXT = SuiteContext(max_length=16)
ROWS = {"first": [("b", "aa"), ("c", "ab")], "second": [("a", "dd")], "kept": [("d", "a")]}


@pytest.fixture
def files(tmp_path) -> dict[str, str]:
    for name, pairs in ROWS.items():
        lines = [json.dumps({"prompt": p, "response": r}) for p, r in pairs]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    return {name: str(tmp_path / f"{name}.jsonl") for name in ROWS}


@pytest.fixture
def suite(files) -> Requests:
    streams = {name: QAStream(files[name]) for name in ("first", "second")}
    return Requests(streams, normal=files["kept"], heldout=files["kept"])


def test_figures_stand_under_the_name_of_each_request(suite) -> None:
    found = suite.run(stub_model(), stub_tokenizer(), CONTEXT)
    streams = {key.partition("/")[0] for key in found.values}
    assert streams == {"first", "second", "normal", "heldout"}
    # Bits a token: a 2, b and EOS 3, d 4.
    first = (2 ** (-(2 + 2 + 3) / 3) + 2 ** (-(2 + 3 + 3) / 3)) / 2
    assert found.values["first/probability"] == near(first)
    assert found.values["second/probability"] == near(2 ** (-(4 + 4 + 3) / 3))
    assert found.values["second/probability"] != near(2 ** (-(4 + 4) / 2))
    # The model says a always; the last token of a response is not counted.
    assert found.values["first/exact_memorization"] > found.values["second/exact_memorization"]
    assert found.values["second/exact_memorization"] == 0
    assert not found.missing
    intervals = bootstrap(suite, found.rows, seed=0)
    assert intervals.keys() == found.values.keys()


def test_rows_that_are_to_stay_may_be_missing(files) -> None:
    suite = Requests({"first": QAStream(files["first"])})
    with pytest.warns(UserWarning, match="no (normal|heldout) rows"):
        found = suite.run(stub_model(), stub_tokenizer(), CONTEXT)
    assert found.missing.keys() == {"normal/*", "heldout/*"}


def test_its_fingerprint_is_that_of_arguments_and_rows(suite, files) -> None:
    tokenizer = stub_tokenizer()
    streams = {name: QAStream(files[name]) for name in ("first", "second")}
    other = Requests(streams, normal=files["kept"], heldout=files["kept"], max_new_tokens=3)
    same = Requests(streams, normal=files["kept"], heldout=files["kept"])
    assert suite.fingerprint(tokenizer, CONTEXT) == same.fingerprint(tokenizer, CONTEXT)
    assert suite.fingerprint(tokenizer, CONTEXT) != other.fingerprint(tokenizer, CONTEXT)


def test_mistakes_are_named(files, tmp_path) -> None:
    with pytest.raises(RecipeError, match="name of rows that are to stay"):
        Requests({"heldout": QAStream(files["first"])})
    with pytest.raises(RecipeError, match="no request is given"):
        Requests().check(stub_tokenizer(), CONTEXT)
    for argument in ("prompt_tokens", "max_new_tokens", "limit"):
        with pytest.raises(RecipeError, match=argument):
            Requests({}, **{argument: 0})
    bad = [tmp_path / f"bad{n}.jsonl" for n in (1, 2)]
    for path in bad:
        path.write_text('{"prompt": "a"}\n')
    suite = Requests({path.stem: QAStream(str(path)) for path in bad}, normal=files["kept"])
    with pytest.raises(DataError) as caught:
        suite.check(stub_tokenizer(), CONTEXT)
    assert [problem.file for problem in caught.value.problems] == list(map(str, bad))
