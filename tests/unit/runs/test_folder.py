from __future__ import annotations

import json
import multiprocessing

import pytest
from processes import PATIENCE

from unit.report.run_folder import write_run
from unlearnkit.errors import UserError
from unlearnkit.files import write_json, write_rows, write_text
from unlearnkit.runs.folder import (
    RunSummary,
    as_mapping,
    load_run,
    make_folder,
    new_folder,
    owned_folders,
)


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path) -> None:
    folders = [new_folder(tmp_path, "r") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(folder.parent == tmp_path / "r" for folder in folders)
    with pytest.raises(UserError, match="cannot make the folder"):
        make_folder(folders[0])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to"):
        new_folder(tmp_path / "file", "r")


def test_files_are_whole_or_not_at_all(tmp_path) -> None:
    write_text(tmp_path / "a.txt", "é")
    write_json(tmp_path / "a.json", {"x": [float("nan")]})
    write_rows(tmp_path / "a.jsonl", [{"x": 1}, {"x": 2}])
    assert (tmp_path / "a.txt").read_bytes() == "é".encode()
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [None]}
    assert (tmp_path / "a.jsonl").read_text() == '{"x": 1}\n{"x": 2}\n'
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / "b", "x")
    assert not list(tmp_path.glob(".*"))


def test_a_summary_leaves_out_what_there_is_not(tmp_path) -> None:
    summary = RunSummary("r", 1, 2, None, tmp_path)
    assert set(summary.as_json()) == {
        "recipe", "seed", "steps", "stopped_by", "seconds", "peak_memory_mb", "suites",
    }  # fmt: skip
    summary.phases = [{"name": "a", "folder": "a+2"}]
    assert summary.as_json()["model"] == "a+2/model"


def test_a_folder_that_is_no_run_is_told_its_newest(tmp_path) -> None:
    run = write_run(tmp_path / "r" / "2026-01-01_00-00-00")
    (run / "model" / "config.json").write_text("{}")
    assert load_run(run).summary["recipe"] == "copyright"
    assert load_run(run).base == "tiny"
    with pytest.raises(UserError, match="not a finished run") as caught:
        load_run(tmp_path / "r")
    assert str(run) in (caught.value.hint or "")
    with pytest.raises(ValueError, match="expected a mapping, found list"):
        as_mapping([])


def test_a_summary_is_printed_as_its_verdict_and_its_folder(tmp_path):
    summary = RunSummary("r", 1, 2, None, tmp_path)
    assert (summary.verdict, str(summary)) == ("", f"r, seed 1: 2 steps\nfolder: {tmp_path}")
    summary.conclusion = {"verdict": {"sentence": "near gold: x."}}
    assert summary.verdict == "near gold: x."
    assert str(summary) == f"r, seed 1: 2 steps\nnear gold: x.\nfolder: {tmp_path}"


def test_a_folder_that_another_process_writes_to_is_refused_until_it_ends(tmp_path) -> None:
    fork = multiprocessing.get_context("fork")
    taken, end = fork.Event(), fork.Event()

    def hold() -> None:
        with owned_folders() as take:
            take(tmp_path)
            taken.set()
            end.wait(PATIENCE)

    other = fork.Process(target=hold)
    other.start()
    assert taken.wait(PATIENCE)
    with owned_folders() as take, pytest.raises(UserError, match="another process is writing to"):
        take(tmp_path)
    other.kill()  # its lock goes with it
    other.join()
    for _ in range(2):
        with owned_folders() as take:
            take(tmp_path)
