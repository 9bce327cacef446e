"""The commands and the Python of README and documentation run, on the embedded model.

``fit`` is checked by ``validate``, which reads recipe, overrides and data; recipes that ship are
trained by ``tests/recipes``.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from unlearnkit.cli.main import run

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = re.compile(r"runs/\w+(/(?!\d{4}-)\w+)?(/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)?")
# A hub, a package that is not installed, and the page's own runs and phases.
ELSEWHERE = ("HuggingFaceTB/", "smollm2", "--phases.", "--print_recipe", "compare growing")


def blocks(page: Path, language: str) -> list[str]:
    """Fenced code of that language; parts that are made from code are tested as code."""
    text = re.sub(r"<!-- generated.*?<!-- end -->", "", page.read_text("utf-8"), flags=re.S)
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S)
    return [code for word, code in found if word == language]


def commands(page: Path) -> list[str]:
    """Lines that call us, but for those with places to be filled in."""
    lines = (line for code in blocks(page, "") for line in code.replace("\\\n", "").splitlines())
    ours = [line.strip() for line in lines if line.strip().startswith("unlearnkit ")]
    return [line for line in ours if not re.search(r"\b[A-Z]{3,}\b|\.\.\.|\$", line.split("#")[0])]


# What takes several GPUs is refused here.
WITH_COMMANDS = [page for page in PAGES if commands(page) and page.stem != "scale"]
CODE = [(page, code) for page in PAGES for code in blocks(page, "python")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("finished")
    steps = ["--trainer.max_steps", "2", "--evaluate", "[{name: copyright, limit: 2}]"]
    run(["fit", "--recipe", "copyright", *steps, "--run_dir", str(folder)])
    return next((folder / "copyright").iterdir())


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_commands_are_carried_out(page, finished, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Own modules of one page must not be found by the next.
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_losses", raising=False)
    for name in ("forget", "retain"):
        row = {"prompt": f"Who wrote {name}?", "response": "Ann Lee."}
        Path(f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    run(["cp", "copyright", "mine.yaml"])
    run(["new", "objective", "my_losses.py"])
    done = False
    for line in commands(page):
        if any(word in line for word in ELSEWHERE):
            continue
        verb, *words = shlex.split(RUN.sub(str(finished), line), comments=True)[1:]
        if verb in ("cp", "new"):
            target = Path(words[-1])
            for made in (target, target.with_name(f"test_{target.name}")):
                made.unlink(missing_ok=True)
        run(["validate" if verb == "fit" else verb, *_quick(verb, words)])
        done = True
    sys.modules.pop("my_losses", None)
    assert done


def _quick(verb: str, words: list[str]) -> list[str]:
    if "--ckpt_path" in words:
        place = words.index("--ckpt_path")
        words = words[:place] + words[place + 2 :]
    return [*words, "--steps", "1", "--limit", "2"] if verb == "attack" else words


@pytest.mark.parametrize(("page", "code"), CODE, ids=lambda each: getattr(each, "stem", ""))
def test_python_runs(page, code, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page.name, "exec"), {"__name__": page.stem})
