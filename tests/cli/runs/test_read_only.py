"""A run folder that cannot be written to: verbs that read it work, others say so in one panel."""

from __future__ import annotations

import errno
import io
import os
import shutil
from pathlib import Path

import pytest

from unlearnkit.cli.main import main
from unlearnkit.runs import load_run

SMALL = "{name: copyright, limit: 2, max_new_tokens: 4}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    words = ("--run_dir", str(folder), "--trainer.max_steps", "1", "--trainer.accelerator", "cpu")
    quiet = ("--trainer.callbacks", "[]", "--trainer.enable_progress_bar", "false")
    assert main(["fit", "--recipe", "copyright", *words, *quiet, "--evaluate", f"[{SMALL}]"]) == 0
    return load_run(next((folder / "copyright").iterdir())).folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch) -> Path:
    """A copy of the run on a read-only disk, also for root."""
    place = tmp_path / "runs" / "copyright" / finished.name
    shutil.copytree(finished, place)

    def refuse(path: object) -> None:
        inside = isinstance(path, str | os.PathLike) and Path(path).absolute().is_relative_to(place)
        if inside:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    originals = {name: getattr(os, name) for name in ("mkdir", "replace", "rename", "unlink")}
    for name, original in originals.items():
        monkeypatch.setattr(
            os,
            name,
            lambda path, *rest, _of=original, **more: refuse(path) or _of(path, *rest, **more),
        )
    opened = io.open

    def open_(file, mode="r", *rest, **more):
        if set(mode) & set("wax+"):
            refuse(file)
        return opened(file, mode, *rest, **more)

    monkeypatch.setattr(io, "open", open_)
    monkeypatch.setattr("builtins.open", open_)
    return place


@pytest.mark.parametrize(
    "words",
    [
        ("report", "RUN"),
        ("evaluate", "RUN", "--suite", SMALL.replace("limit: 2", "limit: 3")),
        ("attack", "RUN", "quantize", "--limit", "2"),
        ("inspect", "RUN", "--gold", "tiny/gold"),
    ],
    ids=lambda words: words[0],
)
def test_what_writes_into_the_run_says_that_it_cannot(command, run, words, monkeypatch) -> None:
    """Before a model is measured, so that no work is lost."""
    for module, name in (
        ("attacks.quantize.Quantize", "run"),
        ("inspection.kept", "depth"),
        ("runs.evaluate", "measure"),
    ):
        monkeypatch.setattr(f"unlearnkit.{module}.{name}", None)
    done = command(*(str(run) if word == "RUN" else word for word in words))
    assert done.code == 2, done.out + done.err
    assert "Read-only file system" in done.err
    assert str(run) in done.err
    assert "fault" not in done.err
    assert "Traceback" not in done.err
    assert done.err.count("╭") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("check", "RUN"),
        ("compare", "RUN"),
        ("generate", "RUN", "Who rowed?"),
        ("export", "RUN", "OUT"),
    ],
    ids=lambda words: words[0],
)
def test_what_only_reads_the_run_works(command, run, tmp_path, words) -> None:
    places = {"RUN": str(run), "OUT": str(tmp_path / "out")}
    done = command(*(places.get(word, word) for word in words))
    # One step does not forget the book, and `check` says so by its exit code.
    assert done.code == (3 if words[0] == "check" else 0), done.out + done.err


def test_a_report_goes_elsewhere(command, run, tmp_path) -> None:
    done = command("report", str(run), "--out", str(tmp_path / "report.html"))
    assert done.code == 0, done.err
    assert (tmp_path / "report.html").stat().st_size > 1000
