"""Words of a command line as a function's arguments."""

from __future__ import annotations

import pytest

from unlearnkit.cli.verbs.base import call
from unlearnkit.edits import O3


def several(names: list[str], more: str | list[str] | None = None, of: str = "x") -> list[object]:
    return [names, more, of]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--names", "a"], [["a"], None, "x"]),
        (["--names", "a", "--names=b"], [["a", "b"], None, "x"]),
        (["--names", "a", "--more", "b"], [["a"], ["b"], "x"]),
        (["--names", "a", "--more", "b", "--more", "c"], [["a"], ["b", "c"], "x"]),
        (["--names", "a", "--more", "b", "--more+", "c"], [["a"], ["b", "c"], "x"]),
        (["--names", "a", "--of", "b", "--of", "c"], [["a"], None, "c"]),
    ],
)
def test_what_may_be_a_list_is_given_once_for_each_value(words, found) -> None:
    assert call(several, words, "edit", positional=False) == found


def test_each_adapter_of_o3_may_have_its_own_encoder() -> None:
    words = ["--base", "tiny", "--adapter", "a", "--adapter", "b", "--encoder"]
    assert call(O3, [*words, "e"], "edit o3", positional=False).encoders == ["e"]
    both = call(O3, [*words, "e", "--encoder", "f"], "edit o3", positional=False)
    assert both.encoders == ["e", "f"]
