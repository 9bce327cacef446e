"""A digest is that of the file as it is now, and is told to other processes."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace

from unlearnkit import hashed
from unlearnkit.hashed import file_digest, hashed_for_children, hashed_so_far, take_hashed


def test_a_digest_is_that_of_the_file_as_it_is_now(tmp_path, monkeypatch) -> None:
    file = tmp_path / "weights"
    hour = time.time() - 3600
    found = []
    for content in (b"one", b"two"):
        file.write_bytes(content)
        os.utime(file, (hour, hour + len(found)))
        found.append(file_digest(file))
    assert found[0] != found[1]
    read = []
    monkeypatch.setattr("hashlib.file_digest", lambda *_: read.append(1))
    assert file_digest(file) == found[1]
    assert not read  # kept, since nothing changed
    # One that was written this moment is read each time: the clock may not tell a second change.
    monkeypatch.undo()
    os.utime(file)
    moment = file.stat().st_mtime_ns
    monkeypatch.setattr(hashed, "time", SimpleNamespace(time_ns=lambda: moment + 10**9))
    assert file_digest(file) == found[1]
    file.write_bytes(b"six")
    os.utime(file, ns=(moment, moment))
    assert file_digest(file) not in found


def test_what_another_process_has_hashed_is_not_read_again(tmp_path, monkeypatch) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(b"one")
        os.utime(file, (time.time() - 3600,) * 2)
    monkeypatch.setattr(hashed, "_known", {})
    found = [file_digest(file) for file in files]
    told = hashed_so_far()
    assert [row[4] for row in json.loads(told)] == [each.hex() for each in found]
    assert hashed_for_children() == {"UNLEARNKIT_DIGESTS": told}
    read = []
    original = hashed.hashlib.file_digest
    monkeypatch.setattr(
        "hashlib.file_digest", lambda file, kind: read.append(file.name) or original(file, kind)
    )
    monkeypatch.setattr(hashed, "_known", {})
    take_hashed(told)
    assert file_digest(files[0]) == found[0]
    assert not read
    # A copy on another disk, or a changed file, is another one.
    (tmp_path / "b2").write_bytes(b"six")
    os.utime(tmp_path / "b2", ns=(json.loads(told)[1][3],) * 2)
    os.replace(tmp_path / "b2", files[1])
    assert file_digest(files[1]) != found[1]
    assert read == [str(files[1])]


def test_more_than_the_environment_holds_is_not_told(monkeypatch) -> None:
    known = {hashed._File("f" * 200, number, 1, 1): b"d" * 32 for number in range(400)}
    monkeypatch.setattr(hashed, "_known", known)
    assert hashed_for_children() == {}
