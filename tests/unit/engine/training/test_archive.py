from __future__ import annotations

import os
import zipfile
from types import SimpleNamespace

import pytest
import torch

from unlearnkit.engine.training import archive
from unlearnkit.engine.training.archive import refuse_damaged
from unlearnkit.errors import RecipeError


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_zeroed_bytes_in_a_checkpoint_are_seen(tmp_path, at) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"weight": torch.rand(2000)}, path)
    refuse_damaged(path)
    content = bytearray(path.read_bytes())
    start = int(at * len(content))
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="is damaged"):
        refuse_damaged(path)


def test_what_is_not_a_local_file_is_left_to_others(tmp_path) -> None:
    refuse_damaged("s3://bucket/a.ckpt")
    refuse_damaged(tmp_path)


def test_a_whole_file_is_not_read_again_until_it_changes(tmp_path, monkeypatch) -> None:
    path, read = tmp_path / "a.ckpt", []
    torch.save({"weight": torch.rand(20)}, path)
    check = zipfile.ZipFile.testzip
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda file: read.append(1) or check(file))
    now = path.stat().st_mtime_ns + 10**9
    monkeypatch.setattr(archive, "time", SimpleNamespace(time_ns=lambda: now))
    refuse_damaged(path)
    refuse_damaged(path)  # it may still be written within the clock's grain
    assert len(read) == 2
    for seconds in (20, 10):
        os.utime(path, ns=(now - seconds * 10**9,) * 2)
        refuse_damaged(path)
        refuse_damaged(path)
    assert len(read) == 4
