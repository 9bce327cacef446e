"""`unlearnkit new`: files that work as they are."""

import importlib
import json
import sys

import processes
import pytest
import yaml

from unlearnkit.cli.templates import TEMPLATES
from unlearnkit.cli.verbs.new import new_files
from unlearnkit.errors import UserError

RECIPE = """\
model:
  objectives: {forget: {name: my_gap.MyLoss, margin: 3.0}}
data:
  batch_size: 2
  streams: {forget: {name: qa, path: forget.jsonl}}
trainer: {max_steps: 1, accelerator: cpu}
"""


@pytest.fixture(autouse=True)
def _forget_modules():
    """The module of one test's folder must not be found by the next."""
    yield
    for module in [each for each in sys.modules if each.endswith("my_gap")]:
        sys.modules.pop(module, None)


def test_the_template_passes_its_own_test_and_runs_in_a_recipe(
    command, parse, recipe, folder, monkeypatch
):
    done = command("new", "objective", "my_gap.py")
    assert done.code == 0, done.err
    assert done.out.split() == ["my_gap.py", "test_my_gap.py", "pytest", "test_my_gap.py"]
    monkeypatch.syspath_prepend(folder)
    importlib.import_module("test_my_gap").test_my_loss_keeps_the_contract()
    objective = parse("-r", recipe(RECIPE)).model.objectives["forget"]
    assert (type(objective).__name__, objective.margin) == ("MyLoss", 3.0)


IN_A_RECIPE = {
    "suite": "evaluate: [{name: my_gap.MySuite, word: b}]",
    "metric": (
        "evaluate: [{name: copyright, metrics: [my_gap.MyMetric], forget: forget.jsonl, "
        "normal: retain.jsonl, heldout: retain.jsonl}]"
    ),
    "stream": "data: {streams: {forget: {name: my_gap.MyStream, path: forget.jsonl}}}",
    "callback": (
        "trainer: {max_steps: 3, accelerator: cpu, callbacks: [{name: my_gap.MyCallback, "
        "above: -1000.0}]}"
    ),
}
FIT = """\
model: {objectives: {forget: {name: gradient_ascent}}}
data: {batch_size: 2, streams: {forget: {name: qa, path: forget.jsonl}}}
trainer: {max_steps: 1, accelerator: cpu, enable_progress_bar: false}
"""


def test_each_template_passes_its_own_test(command, folder):
    for kind in TEMPLATES:
        assert command("new", kind, f"my_{kind}_gap.py").code == 0
    done = processes.run(pytest.main, ["-q", "-p", "no:cacheprovider", "."], cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout


@pytest.mark.parametrize("kind", IN_A_RECIPE)
def test_each_template_runs_in_a_recipe(command, folder, recipe, monkeypatch, kind):
    assert command("new", kind, "my_gap.py").code == 0
    monkeypatch.syspath_prepend(folder)
    text = yaml.safe_dump(yaml.safe_load(FIT) | yaml.safe_load(IN_A_RECIPE[kind]))
    done = command("fit", "-r", recipe(text), "--run_dir", "runs")
    assert done.code == 0, done.err
    (file,) = (folder / "runs").rglob("summary.json")
    summary = json.loads(file.read_text())
    found = {name for when in summary["suites"].values() for name in when["after"]}
    assert ("forget/mentions" in found) == (kind == "suite")
    assert ("forget/MyMetric" in found) == (kind == "metric")
    assert summary["steps"] == 1  # the callback stops after one of three


def test_the_template_of_an_attack_runs_on_a_model(command, folder, monkeypatch):
    assert command("new", "attack", "my_gap.py").code == 0
    monkeypatch.syspath_prepend(folder)
    words = ("attack", "tiny", "my_gap.MyAttack", "--forget", "forget.jsonl", "--limit", "1")
    done = command(*words, "--words", "Go on: ")
    assert done.code == 0, done.err
    (file,) = (folder / "evaluations").rglob("MyAttack.json")
    curve = json.loads(file.read_text())["curves"]["unlearned"]
    assert [point["said"] for point in curve] == [None, "Go on: "]


def test_the_template_is_short(folder):
    target, _ = new_files("objective", "my_gap.py")
    code = [line for line in target.read_text().splitlines() if line.strip()]
    assert len(code) <= 12


@pytest.mark.parametrize("existing", ["my_gap.py", "test_my_gap.py"])
def test_nothing_is_overwritten(command, folder, existing):
    (folder / existing).write_text("mine")
    refused = command("new", "objective", "my_gap.py")
    assert refused.code == 2
    assert f"{existing} exists and is not overwritten" in refused.err
    assert (folder / existing).read_text() == "mine"
    assert len(list(folder.glob("*my_gap.py"))) == 1


@pytest.mark.parametrize("name", ["my-losses.py", "my_losses.txt", "class.py", "3.py", "my_losses"])
def test_the_name_has_to_be_a_modules(folder, name):
    with pytest.raises(UserError, match="is not the name of a Python module"):
        new_files("objective", name)


def test_an_installed_modules_name_is_refused(folder):
    with pytest.raises(UserError, match="'torch' is an installed module"):
        new_files("objective", "torch.py")


def test_an_unknown_kind(command):
    refused = command("new", "objektive", "my_gap.py")
    assert refused.code == 2
    assert "there is no template for 'objektive'" in refused.err


def test_a_folder_that_is_not_there(command, folder):
    refused = command("new", "objective", "nowhere/my_gap.py")
    assert refused.code == 2
    assert "cannot be written: No such file or directory" in refused.err
