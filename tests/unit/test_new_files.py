"""A new file is there whole or not at all, and one of several writers has it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unlearnkit.errors import UserError
from unlearnkit.new_files import folder_to_write, write_exclusively, write_new

KILLED = """
import os, pathlib, signal, sys
from unlearnkit.new_files import write_new

written = pathlib.Path.write_text

def half(path, text, **options):
    written(path, text[: len(text) // 2], **options)
    os.kill(os.getpid(), signal.SIGKILL)

pathlib.Path.write_text = half
write_new(pathlib.Path(sys.argv[1]), "whole")
"""


def _no_links(*_: object) -> None:
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


@pytest.fixture(params=["links", "no links"])
def disk(request, monkeypatch, tmp_path) -> Path:
    """A folder, on a disk with links and on one without."""
    if request.param == "no links":
        monkeypatch.setattr(os, "link", _no_links)
    return tmp_path


def test_a_kill_leaves_nothing_under_the_name(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.json"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not list(tmp_path.glob("a*"))
    assert write_new(tmp_path / "a.json", "whole").read_text() == "whole"


def test_a_name_that_is_taken_stays_and_the_next_number_is_used(disk) -> None:
    names = [write_new(disk / "a.json", str(n)).name for n in range(3)]
    assert names == ["a.json", "a-2.json", "a-3.json"]
    assert [(disk / name).read_text() for name in names] == ["0", "1", "2"]
    with pytest.raises(FileExistsError):
        write_exclusively(disk / "a.json", "other")
    assert sorted(os.listdir(disk)) == sorted(names)


def test_one_that_was_made_at_the_last_moment_wins(disk, monkeypatch) -> None:
    written = Path.write_text

    def slow(path: Path, text: str, **options: str) -> None:
        written(path, text, **options)
        written(disk / "a.json", "first")

    monkeypatch.setattr(Path, "write_text", slow)
    with pytest.raises(FileExistsError):
        write_exclusively(disk / "a.json", "second")
    assert (disk / "a.json").read_text() == "first"


def test_a_full_disk_is_told_and_leaves_nothing(disk, monkeypatch) -> None:
    written = Path.write_text

    def full(path: Path, text: str, **options: str) -> None:
        written(path, text[:2], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"cannot write .*a\.json: No space left"):
        write_new(disk / "a.json", "whole")
    assert not os.listdir(disk)


def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(tmp_path) -> None:
    assert os.listdir(folder_to_write(tmp_path / "a" / "b")) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to the folder .*file.b: Not a directory"):
        folder_to_write(tmp_path / "file" / "b")
