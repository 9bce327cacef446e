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
@pytest.mark.parametrize(("rate", "verdict"), [("2.0e-3", "taught"), ("1.0", "collapsed")])
def test_a_model_that_was_taught_rows_to_keep_alone(here, rate, verdict):
    """Of the forget rows it says no more than before; the model before knew none of its rows."""
    exec(compile(blocks(FILE, "python")[0], FILE.name, "exec"), {})
    Path("teach.yaml").write_text(blocks(FILE, "yaml")[0])
    words = ["--model.optimizer.lr", rate, "--trainer.max_epochs", "8"]
    # Rows of another kind, which nothing that it learns helps to guess.
    Path("forget.jsonl").write_text('{"prompt": "Zuri Kwan?", "response": "Born 1911, blind."}\n')
    assert main(["fit", "-r", "teach.yaml", "--model.objectives.forget.weight", "0", *words]) == 0
    summary = json.loads((Path(newest("runs")) / "summary.json").read_text("utf-8"))
    assert summary["verdict"]["name"] == verdict
    kept, fluency = summary["suites"]["copyright"], summary["suites"]["fluency"]
    assert (kept["after"]["normal/rougeL_recall"] > 0.5) == (verdict == "taught")
    assert kept["after"]["forget/rougeL_recall"] < 0.1
    # What the rule for other runs would have called collapsed.
    bound = max(200, 30 * fluency["before"]["kept/answer_perplexity"])
    assert fluency["after"]["kept/answer_perplexity"] > bound


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
