"""The page From start to end, run whole: its exit codes and verdicts are those that it shows."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from fences import ROOT, blocks, shell_lines

from unlearnkit.cli.main import main

FILE = ROOT / "docs/how-to/from-start-to-end.md"
PAGE = FILE.read_text("utf-8")


def newest(folder: str) -> str:
    return str(max(path.parent for path in Path(folder).rglob("summary.json")))


@pytest.mark.slow
def test_the_page_leads_to_a_defended_no(here, capsys):
    exec(compile(blocks(FILE, "python")[0], FILE.name, "exec"), {})
    names = ("teach.yaml", "forget.yaml", "lasting.yaml")
    for name, code in zip(names, blocks(FILE, "yaml"), strict=True):
        assert f"`{name}`" in PAGE
        Path(name).write_text(code)
    codes, verdicts = [], []
    for line in shell_lines(FILE):
        verb, *words = shlex.split(line)[1:]
        if verb == "chat":
            continue  # it waits for questions
        places = {
            "TAUGHT": lambda: newest("runs/taught"),
            "GOLD": lambda: newest("runs/gold"),
            "RUN": lambda: newest("runs/forget"),
        }
        words = [places[word]() if word in places else word for word in words]
        codes.append((verb, main([verb, *words])))
        if verb == "fit":
            folder = words[words.index("--run_dir") + 1] if "--run_dir" in words else "runs/forget"
            summary = json.loads((Path(newest(folder)) / "summary.json").read_text("utf-8"))
            verdicts.append(summary["verdict"]["name"])
    assert codes == [
        ("fit", 0), ("fit", 0), ("fit", 3), ("fit", 0),
        ("check", 0), ("attack", 0), ("check", 3), ("compare", 0),
    ]  # fmt: skip
    assert verdicts == ["taught", "taught", "damaged", "near gold"]
    assert "relearns" in capsys.readouterr().out
