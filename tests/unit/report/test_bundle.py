from __future__ import annotations

import pytest

from unlearnkit.report import bundle as module
from unlearnkit.report.bundle import bundle


@pytest.fixture
def made(tmp_path, monkeypatch):
    """How often the script was made, in a cache folder of its own."""
    calls = []
    monkeypatch.setenv("UNLEARNKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "_made", lambda: calls.append(1) or "line\r\nvega")
    yield calls
    bundle.cache_clear()


def again():
    bundle.cache_clear()
    return bundle()


def test_the_script_is_made_once_for_all_processes(made):
    assert [again(), again(), again()] == ["line\r\nvega"] * 3
    assert len(made) == 1


def test_a_damaged_script_is_made_anew(made, tmp_path):
    again()
    (file,) = (tmp_path / "scripts").iterdir()
    for damage in (b"", file.read_bytes()[:-1], b"\xff\xfe"):
        file.write_bytes(damage)
        assert again() == "line\r\nvega"
    assert len(made) == 4
    assert again() == "line\r\nvega"
    assert len(made) == 4


@pytest.mark.parametrize("folder", ["", "file/below"])
def test_without_a_folder_it_is_made_each_time(made, tmp_path, monkeypatch, folder):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNLEARNKIT_CACHE", folder and str(tmp_path / folder))
    assert [again(), again()] == ["line\r\nvega"] * 2
    assert len(made) == 2
