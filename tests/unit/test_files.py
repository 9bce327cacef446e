"""Files and folders are there whole or not at all, whoever else writes them."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from processes import PATIENCE
from stub import save_stub

from unlearnkit.errors import UserError
from unlearnkit.files import (
    name_beside,
    remove_left_behind,
    whole_file,
    whole_folder,
    write_json,
    write_rows,
)
from unlearnkit.processes import HOST
from unlearnkit.runs import export

FORK = multiprocessing.get_context("fork")


def _both(work) -> list[str]:
    """What two processes say that do the same work at the same time."""
    said, meet = FORK.Queue(), FORK.Barrier(2, timeout=PATIENCE)

    def one(name: str) -> None:
        try:
            work(name, meet)
        except UserError as error:
            said.put(str(error))
        else:
            said.put(f"{name} did it")

    processes = [FORK.Process(target=one, args=(name,)) for name in ("one", "other")]
    for process in processes:
        process.start()
    found = [said.get(timeout=PATIENCE) for _ in processes]
    for process in processes:
        process.join()
    return found


def test_of_two_exports_into_one_folder_one_wins_and_the_other_is_refused(tmp_path, monkeypatch):
    for name in ("one", "other"):
        save_stub({"random_init": 1}, tmp_path / name)
        (tmp_path / name / "of.json").write_text(json.dumps({"of": name}))
    copied = shutil.copytree

    def work(name, meet) -> None:
        def together(*arguments, **options) -> None:
            copied(*arguments, **options)
            meet.wait()

        monkeypatch.setattr(shutil, "copytree", together)
        export(tmp_path / name, tmp_path / "out")

    said = _both(work)
    (done,) = (each for each in said if each.endswith("did it"))
    (refused,) = (each for each in said if each != done)
    assert f"{tmp_path / 'out'} exists and is not empty" in refused
    written = json.loads((tmp_path / "out" / "of.json").read_text())
    assert written == {"of": done.split()[0]}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one", "other", "out"]


def test_two_writers_of_one_file_leave_one_of_the_two_whole(tmp_path):
    path = tmp_path / "file"

    def work(name, meet) -> None:
        with whole_file(path) as unfinished:
            unfinished.write_text(name * 1000)
            meet.wait()

    assert sorted(_both(work)) == ["one did it", "other did it"]
    assert path.read_text() in ("one" * 1000, "other" * 1000)
    assert os.listdir(tmp_path) == ["file"]


def test_an_empty_folder_is_filled_and_a_failure_leaves_it_empty(tmp_path):
    target = tmp_path / "out"
    target.mkdir()

    def fail() -> None:
        with whole_folder(target) as folder:
            (folder / "half").write_text("")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert list(tmp_path.iterdir()) == [target]
    assert not list(target.iterdir())
    with whole_folder(target) as folder:
        (folder / "whole").write_text("")
    assert [each.name for each in target.iterdir()] == ["whole"]
    with pytest.raises(UserError, match="exists and is not empty"), whole_folder(target):
        pass


def test_a_full_disk_is_said_with_the_file_and_leaves_the_one_before(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")

    def fail() -> None:
        with whole_file(path, said="cannot keep") as unfinished:
            unfinished.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"cannot keep .*file: No space left"):
        fail()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


def test_json_has_null_for_what_is_no_number(tmp_path):
    write_json(tmp_path / "a.json", {"a": math.nan, "p": Path("x")})
    write_rows(tmp_path / "b.jsonl", [{"é": math.inf}, {}])
    assert (tmp_path / "a.json").read_text() == '{\n  "a": null,\n  "p": "x"\n}\n'
    assert (tmp_path / "b.jsonl").read_text() == '{"é": null}\n{}\n'


def test_json_escapes_what_controls_a_terminal_or_breaks_a_line(tmp_path):
    value = {"a\u202e": "é\x9b2J\u2028\x85\x1b\ufeff", "b": "🛶\u200d"}
    write_rows(tmp_path / "a.jsonl", [value])
    text = (tmp_path / "a.jsonl").read_text()
    assert "é" in text
    assert "🛶\u200d" in text
    assert text.replace("\u200d", "")[:-1].isprintable()
    assert json.loads(text) == value
    assert len(text.splitlines()) == 1


def test_what_a_killed_export_left_is_removed_by_the_next_of_that_name(tmp_path):
    def killed() -> None:
        with whole_folder(tmp_path / "out") as unfinished:
            (unfinished / "half").touch()
            os._exit(9)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join()
    (left,) = tmp_path.iterdir()
    other = tmp_path / left.name.replace(".out.", ".out.other.")
    other.mkdir()
    with whole_folder(tmp_path / "out") as unfinished:
        assert not left.exists()
        # Its own process is alive.
        with whole_folder(tmp_path / "new"):
            pass
        assert unfinished.exists()
    assert {each.name for each in tmp_path.iterdir()} == {"out", "new", other.name}


def test_what_killed_processes_had_begun_is_removed_and_what_living_ones_write_stays(
    tmp_path,
) -> None:
    killed = FORK.Process(target=int)
    killed.start()
    killed.join()
    inside = tmp_path / "2026-01-01_00-00-00" / "checkpoints"
    inside.mkdir(parents=True)
    mine = name_beside(inside / "step=1.ckpt")
    _, machine, own = mine.name.rpartition(f".{HOST}-")
    left = mine.with_name(f"..a b.json{machine}{own.replace(str(os.getpid()), str(killed.pid), 1)}")
    folder = mine.with_name(left.name.replace("a b.json", "model"))
    elsewhere = mine.with_name(left.name.replace(HOST, "0" * 8))
    alike = [inside / ".note.unfinished", inside / f"x.{HOST}-{killed.pid}.unfinished"]
    for each in (mine, left, elsewhere, *alike):
        each.touch()
    folder.mkdir()
    (folder / "config.json").touch()
    remove_left_behind(tmp_path)
    assert set(inside.iterdir()) == {mine, elsewhere, *alike}
    remove_left_behind(tmp_path / "not there")
