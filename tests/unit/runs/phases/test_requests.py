from __future__ import annotations

import json
from pathlib import Path

from unlearnkit.runs.phases.requests import curve_of, write_curve


def finished(folder: Path, **suites: dict) -> Path:
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps({"suites": suites}))
    return folder


def test_the_curve_begins_before_the_first_request(tmp_path) -> None:
    phases = [
        (name, finished(tmp_path / name, requests={"before": {"a/x": b}, "after": {"a/x": a}}))
        for name, b, a in (("a", 1.0, 0.5), ("b", 0.5, 0.25))
    ]
    curve = curve_of(phases)
    assert [(point["after"], point["figures"]["a/x"]) for point in curve] == [
        (None, 1.0),
        ("a", 0.5),
        ("b", 0.25),
    ]
    write_curve(tmp_path, curve)
    assert (
        tmp_path / "requests.csv"
    ).read_text() == "request,after,a/x\n0,,1.0\n1,a,0.5\n2,b,0.25\n"


def test_without_the_suite_there_is_no_curve(tmp_path) -> None:
    assert curve_of([("a", finished(tmp_path / "a", copyright={"after": {}}))]) == []
    write_curve(tmp_path, [])
    assert not (tmp_path / "requests.json").exists()
