"""The page of own suites and metrics: its files and recipes work as they stand there."""

from __future__ import annotations

import json
import re
import sys

import pytest
import yaml
from fences import ROOT

from unlearnkit.cli.main import main

PAGE = (ROOT / "docs/how-to/own-suite.md").read_text("utf-8")
SUITES, METRICS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
OWN_SUITE, OWN_METRIC, MONITOR = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.S))
ROWS = [{"prompt": f"Who rowed the ferry of {x}?", "response": f"{x} the dead"} for x in "ABC"]
RECIPE = """\
model: {base: tiny, objectives: {forget: {name: gradient_ascent}}, optimizer: {lr: 1.0e-6}}
data: {streams: {forget: {name: qa, path: rows.jsonl}}}
trainer: {max_steps: 2, accelerator: cpu, enable_progress_bar: false, callbacks: []}
"""


@pytest.fixture
def fit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_suites.py").write_text(SUITES)
    (tmp_path / "my_metrics.py").write_text(METRICS)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for module in ("my_suites", "my_metrics"):
        monkeypatch.delitem(sys.modules, module, raising=False)

    def run(changes, trainer=None):
        recipe = yaml.safe_load(RECIPE) | changes
        recipe["trainer"] |= trainer or {}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        code = main(["fit", "-r", "recipe.yaml", "--run_dir", "runs"])
        said = capsys.readouterr()
        runs = sorted((tmp_path / "runs").rglob("summary.json"))
        return code, json.loads(runs[-1].read_text()) if runs else None, said.out + said.err

    return run


def test_an_own_suite_with_an_own_metric_is_named_by_its_dotted_path(fit, capsys):
    code, summary, said = fit(OWN_SUITE)
    assert code == 0, said
    assert 0 <= summary["suites"]["Gossip"]["after"]["forget/mentions"] <= 1
    assert summary["metrics"]["Gossip"]["forget/mentions"] == {
        "role": "forget", "direction": "down", "headline": 1, "judges": True, "gold_level": None,
    }  # fmt: skip
    assert main(["compare", "runs", "--format", "json"]) == 0
    assert "forget/mentions" in capsys.readouterr().out


def test_an_own_metric_is_added_to_a_shipped_suite(fit):
    (entry,) = OWN_METRIC["evaluate"]
    files = {"forget": "rows.jsonl", "normal": "rows.jsonl", "heldout": "rows.jsonl"}
    code, summary, said = fit({"evaluate": [{**entry, **files}]})
    assert code == 0, said
    after = summary["suites"]["copyright"]["after"]
    # Of a few letters of the tiny model's texts.
    assert 0 <= after["forget/Shouting"] < 0.5
    assert {"forget/repetition_rate", "heldout/Shouting"} <= set(after)
    assert summary["metrics"]["copyright"]["heldout/Shouting"]["role"] == "heldout"


def test_a_monitor_names_a_value_with_or_without_its_suite(fit):
    files = {"forget": "rows.jsonl", "normal": "rows.jsonl", "heldout": "rows.jsonl"}
    suite = {"evaluate": [{"name": "copyright", **files}]}
    (every, stop) = MONITOR["trainer"]["callbacks"]
    every["steps"] = 1
    code, _, said = fit(suite, {"callbacks": [every, stop]})
    assert code == 0, said
    stop["init_args"]["monitor"] = "forget/rogueL_recall"
    code, _, said = fit(suite, {"callbacks": [every, stop]})
    assert code == 2
    assert "Did you mean 'forget/rougeL_recall'" in " ".join(said.replace("│", " ").split())
    stop["init_args"]["monitor"] = "copyright/forget/nll"
    code, _, said = fit(suite, {"callbacks": [stop]})
    assert (code, "evaluate_every" in said) == (2, True)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("model_utility", "needs value"),
        ("leak_rate", "cannot be named alone"),
        ("my_metrics.Nothing", "cannot be imported"),
        ("my_suites.Gossip", "is no unlearningmetric"),
    ],
)
def test_a_metric_that_cannot_be_added_is_refused_before_a_model_is_loaded(fit, metric, said):
    code, summary, text = fit({"evaluate": [{"name": "copyright", "metrics": [metric]}]})
    assert (code, summary) == (2, None)
    assert said in " ".join(text.replace("│", " ").split())
