"""Whose code failed."""

import json
from collections.abc import Callable
from typing import Any

from unlearnkit.own_code import is_own_file, own_frame
from unlearnkit.plain import number


def caught(run: Callable[[], object]) -> Exception:
    try:
        run()
    except Exception as error:
        return error
    raise AssertionError


def test_the_innermost_code_that_is_no_librarys_failed() -> None:
    def own() -> None:
        json.loads("{")

    frame = own_frame(caught(own))
    assert frame is not None
    assert (frame.filename, frame.name) == (__file__, "own")
    nothing: Any = []
    # The package was given what it does not take: its own functions say so.
    assert own_frame(caught(lambda: number(nothing))) is None


def test_an_own_file_is_there_and_not_installed(tmp_path) -> None:
    (tmp_path / "my_losses.py").touch()
    assert is_own_file(tmp_path / "my_losses.py")
    assert not is_own_file(tmp_path / "none.py")
    assert not is_own_file(json.__file__)
