from __future__ import annotations

from typing import Any

from unlearnkit.cli.recipe.document import Document, Mistake
from unlearnkit.cli.recipe.phase import Layer
from unlearnkit.cli.recipe.requests import of_requests

DATA = {"streams": {"forget": {"name": "qa", "path": "old.jsonl", "limit": 3}}}


def layers(requests: Any, **tree: Any) -> list[Layer | Mistake]:
    return list(of_requests(Document({"data": DATA, "requests": requests, **tree}, "a.yaml")))


def test_a_file_is_a_phase_with_its_rows_and_all_are_measured_in_each() -> None:
    found = layers(["a.jsonl", "b.jsonl"], evaluate=["copyright"])
    assert [each.name for each in found if isinstance(each, Layer)] == ["a", "b"]
    tree = found[1].document.tree  # pyright: ignore
    assert tree["data"]["streams"]["forget"] == {"name": "qa", "path": "b.jsonl", "limit": 3}
    suite = tree["evaluate"][1]
    assert (tree["evaluate"][0], suite["name"]) == ("copyright", "requests")
    assert [each["path"] for each in suite["streams"].values()] == ["a.jsonl", "b.jsonl"]
    assert DATA["streams"]["forget"]["path"] == "old.jsonl"


def test_names_and_keys_may_be_given() -> None:
    (found,) = layers({"first": {"path": "a.jsonl", "limit": 1}})
    assert isinstance(found, Layer)
    assert found.name == "first"
    assert found.document.tree["data"]["streams"]["forget"]["limit"] == 1


def test_a_request_may_change_other_streams() -> None:
    asked = {"name": "qa", "path": "asked.jsonl"}
    data = {"streams": {**DATA["streams"], "asked": asked}}
    first = {"limit": 1, "streams": {"asked": {"limit": 2}}}
    found = layers({"first": first, "second": "b.jsonl"}, data=data)
    one, two = (each.document.tree["data"]["streams"] for each in found)  # pyright: ignore
    assert one["asked"] == {**asked, "limit": 2}
    assert one["forget"] == {"name": "qa", "path": "old.jsonl", "limit": 1}
    assert two["asked"] == asked
    (wrong,) = layers({"first": {"streams": {"askd": {"limit": 2}}}}, data=data)
    assert "there is no stream 'askd' beside forget; there is asked." in str(wrong)
    (bad,) = layers({"first": {"streams": {"asked": "b.jsonl"}}}, data=data)
    assert "expected keys of the stream 'asked', found 'b.jsonl'" in str(bad)
    (none,) = layers({"first": {"streams": ["asked"]}}, data=data)
    assert "expected streams with the keys that the request changes" in str(none)


def test_mistakes_are_told_with_their_key() -> None:
    (nothing,) = layers([])
    assert "expected a list of files" in str(nothing)
    kept, *_ = layers({"normal": "a.jsonl"})
    assert "'normal' is the name of rows that are to stay" in str(kept)
    twice = [each for each in layers(["x/a.jsonl", "y/a.jsonl"]) if isinstance(each, Mistake)]
    assert "given twice" in twice[0].message
    (missing,) = layers(["a.jsonl"], data={"streams": {}})
    assert "it is missing" in str(missing)
