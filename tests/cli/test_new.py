"""`unlearnkit new objective`: a file that works as it is."""

import importlib
import sys

import pytest

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
    for module in ("my_gap", "test_my_gap"):
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
