"""Every recipe of the pages is trained for a step, on the embedded model and small files.

A whole recipe runs as it stands; a part is laid over a short recipe. What is not here, such as a
model of the Hub, has a stand-in, which `STAND_INS` gives with its reason.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from fences import PAGES, ROOT, blocks

from unlearnkit.cli.conclusion import GOALS_NOT_MET
from unlearnkit.cli.main import main
from unlearnkit.cli.recipe.choices import SECTIONS
from unlearnkit.cli.recipe.signature import accepted
from unlearnkit.data.samples import Origin, SampledAnswer, Sampling, sample_row
from unlearnkit.objectives import Objective
from unlearnkit.suites import Suite

SHORT = """\
model:
  base: tiny
  optimizer: {name: AdamW, lr: 1.0e-6}
  objectives: {forget: {name: npo}, retain: {name: retain_nll}}
data:
  batch_size: 2
  streams:
    forget: {name: qa, path: forget.jsonl}
    retain: {name: qa, path: retain.jsonl}
trainer: {max_steps: 1, accelerator: cpu, callbacks: []}
"""
STAND_INS = {
    "meta-llama/Llama-3.2-1B-Instruct": ("tiny", "2.5 GB behind a licence"),
    "HuggingFaceTB/SmolLM2-135M-Instruct": ("tiny", "a download of 270 MB"),
    "PKU-Alignment/PKU-SafeRLHF": ("safe_rlhf.jsonl", "a data set of the Hub"),
    "MODEL": ("tiny", "a place to be filled in"),
    "SMALL": ("tiny", "a place to be filled in"),
    "TAUGHT": ("tiny", "a place to be filled in, with a run of the block before"),
    "gold: GOLD": ("gold: tiny/gold", "a place to be filled in, as above"),
    r"\.layers\.[567]\.": (r"\.layers\.[01]\.", "the embedded model has fewer blocks"),
    "{enable_thinking: false}": ("{}", "the embedded model's template has no arguments"),
    "accelerator: gpu": ("accelerator: cpu", "no GPU"),
    "devices: 8, num_nodes: 2, strategy: {name: fsdp2, shard: 8, replicate: 2}": (
        "devices: 1",
        "no GPU; tests/distributed has four processes",
    ),
    "devices: 8, strategy: fsdp2": ("devices: 1", "no GPU; tests/distributed has two processes"),
}
"""What a page names, what is taken in its place, and why."""
EXTRA: dict[str, dict[str, Any]] = {
    "own-suite-2": {"evaluate": ["copyright"]},  # of which the callback names values
    "from-start-to-end-2": {"evaluate": ["copyright"], "gold": "tiny/gold"},
    "verdict-1": {"evaluate": ["copyright"], "gold": "tiny/gold"},
}
"""What the text around a part says that its recipe has."""
QUICK = {"own-suite-0", "own-suite-1", "own-suite-2", "recipes-0", "parts-1"}
"""Blocks that no quick run of the tests leaves out."""
BLOCKS = [
    pytest.param(
        page,
        number,
        id=(name := f"{page.stem}-{number}"),
        marks=[] if name in QUICK else pytest.mark.slow,
    )
    for page in PAGES
    for number in range(len(blocks(page, "yaml")))
]


@pytest.fixture
def files(here) -> None:
    """Rows that have the fields of all pages, and the modules of the page of own suites."""
    names = ("forget", "retain", "heldout", "neighbour", "unseen", "chat", "chats", "people")
    Path("my_rows").mkdir()
    more = ("reasoning", "harmful", "drawn", "benign")
    for name in (*names, *more, "my_rows/forget", "my_rows/neighbour"):
        rows = (_row(each, name) for each in ("Ada", "Bo", *"CDEFGHIJKL"))
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = SampledAnswer("Who is it, then?", (5, 6), True)
    row = sample_row("Who?", (4, 5), [answer], Origin("m", "t", **Sampling()._asdict()))
    Path("wordings.jsonl").write_text(json.dumps(row) + "\n")
    shutil.copy(ROOT / "tests/recipes/data/safe_rlhf.jsonl", ".")
    suites, metrics = blocks(ROOT / "docs/how-to/own-suite.md", "python")
    Path("my_suites.py").write_text(suites)
    Path("my_metrics.py").write_text(metrics)


def _row(name: str, file: str) -> dict[str, Any]:
    asked, said = f"Who rowed the ferry of {name}?", f"{name} rowed the {file} to the dead."
    thought = f"<think>\nIt was {name}.\n</think>\n\n" if file == "reasoning" else ""
    turns = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": f"{thought}{said}"},
    ]
    pair = {"prompt": asked, "response": said, "question": asked, "answer": said}
    fields = {"mobile": f"+999 {file}", "iban": f"AA {file}", "place": "the dead"}
    drawn = [{"text": f"{name} {does} it."} for does in ("saw", "had", *"abcd")]
    return {**pair, "messages": turns, "name": name, "samples": drawn, **fields}


def _part(page: Path, number: int) -> dict[str, Any]:
    """A block with its stand-ins, as sections of a recipe."""
    code = blocks(page, "yaml")[number]
    for name, (instead, _) in STAND_INS.items():
        code = code.replace(name, instead)
    part = yaml.safe_load(code)
    if not part.keys() & set(SECTIONS):
        objectives = {each["name"] for each in part.values()} <= Objective.registered().keys()
        rest = yaml.safe_load(SHORT)["model"]["objectives"]
        part = {"model": {"objectives": rest | part}} if objectives else {"data": {"streams": part}}
    return part | EXTRA.get(f"{page.stem}-{number}", {})


def _limited(evaluate: list[Any]) -> list[Any]:
    """The suites, of which the shipped ones ask few rows."""
    entries = [{"name": each} if isinstance(each, str) else each for each in evaluate]
    for each in entries:
        suite = Suite.registered().get(each["name"])
        for key, few in (("limit", 2), ("max_new_tokens", 8)):
            if suite is not None and key in accepted(suite):
                each.setdefault(key, few)
    return entries


def _over(short: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part laid over a recipe: it adds streams, and replaces all else."""
    found = dict(short)
    for section, keys in part.items():
        if isinstance(keys, dict) and isinstance(below := short.get(section), dict):
            keys = {**below, **keys}
            if section == "data":
                keys["streams"] = {**below["streams"], **keys["streams"]}
        found[section] = keys
    return found


def _fit(part: dict[str, Any], capsys) -> dict[str, Any]:
    """Trains a step; the summary of the run."""
    recipe = part
    if not {"model", "data"} <= part.keys() or ("trainer" not in part and "phases" not in part):
        recipe = _over(yaml.safe_load(SHORT), part)
    if "evaluate" in recipe:
        recipe["evaluate"] = _limited(recipe["evaluate"])
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    short = ["--trainer.max_steps", "1", "--trainer.enable_progress_bar", "false"]
    code = main(["fit", "-r", "recipe.yaml", *short])
    said = capsys.readouterr()
    assert code == 0 or ("goals" in part and code == GOALS_NOT_MET), said.out + said.err
    (summary,) = Path("runs").glob("recipe/*/summary.json")
    return json.loads(summary.read_text())


@pytest.mark.parametrize(("page", "number"), BLOCKS)
def test_it_is_trained(page, number, files, capsys) -> None:
    part = _part(page, number)
    found = _fit(part, capsys)
    assert found["steps"] >= 1
    named = [each["name"] for each in _limited(part.get("evaluate") or [])]
    assert {name.rpartition(".")[2] for name in named} <= found["suites"].keys()
    assert all(suite["after"] for suite in found["suites"].values())


BESIDE: dict[str, Any] = {"name": "copyright"}
INVENTED = {"name": "hallucination", "data": "halueval", "trained": "qa_data", "unseen": None}


@pytest.mark.parametrize(("number", "beside"), [(0, BESIDE), (1, INVENTED)])
def test_an_own_suite_and_metric_run_beside_a_shipped_suite(number, beside, files, capsys) -> None:
    (entry,) = _part(ROOT / "docs/how-to/own-suite.md", number)["evaluate"]
    found = _fit({"evaluate": [entry, beside]}, capsys)
    assert {entry["name"].rpartition(".")[2], beside["name"]} <= found["suites"].keys()


OF_TEMPLATES = {
    "callback": {"trainer": {"callbacks": [{"name": "my_own.MyCallback", "above": -1000.0}]}},
    "objective": {"model": {"objectives": {"forget": {"name": "my_own.MyLoss", "margin": 3.0}}}},
    "stream": {
        "data": {"streams": {"forget": {"name": "my_own.MyStream", "path": "forget.jsonl"}}}
    },
}


@pytest.mark.parametrize("kind", OF_TEMPLATES)
def test_what_new_writes_runs_beside_a_shipped_suite(kind, files, capsys) -> None:
    assert main(["new", kind, "my_own.py"]) == 0
    found = _fit({**OF_TEMPLATES[kind], "evaluate": [BESIDE]}, capsys)
    assert found["suites"]["copyright"]["after"]
