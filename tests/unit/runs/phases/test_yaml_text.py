from __future__ import annotations

import pytest
import yaml

from unlearnkit.plain import load_yaml
from unlearnkit.runs.phases.yaml_text import dump_yaml, with_checksums


@pytest.mark.parametrize(
    "text",
    [
        *("1e3", "no", "01", "null", "# a", "a: b", "é\n", " x", "1_000", "", "a\\x1b"),
        *("'\u202e\\\n\x9b\"", "\U000e0041\u2028"),
    ],
)
def test_text_stays_text(text) -> None:
    kept = dump_yaml({"key": text, text: 1})
    assert load_yaml(kept) == {"key": text, text: 1}
    assert all(character.isprintable() for character in kept if character != "\n")


def test_what_stands_in_two_places_is_written_twice_and_keys_keep_their_order() -> None:
    shared = {"b": 1, "a": [2.5, None, True]}
    text = dump_yaml({"y": shared, "x": shared})
    assert "&" not in text
    assert list(load_yaml(text)) == ["y", "x"]
    assert list(load_yaml(text)["y"]) == ["b", "a"]


def test_the_parser_builds_plain_values_only() -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml("!!python/object/apply:os.system [ls]")
    with pytest.raises(yaml.YAMLError):
        load_yaml("a: [")


def test_masked_values_of_a_record_are_told_apart() -> None:
    recipe = "a: {password: abc, lr: 1}\nsecret: 1.0\nlist: ['https://me:w0rd@host/x']\n"
    kept = with_checksums(recipe)
    assert not any(secret in kept for secret in ("abc", "1.0", "w0rd"))
    assert load_yaml(kept)["a"]["lr"] == 1
    for old, new in (("abc", "abd"), ("1.0", "5.0"), ("w0rd", "ward")):
        assert with_checksums(recipe.replace(old, new)) != kept
    assert with_checksums("lr: 1  # as it is") == "lr: 1  # as it is"
