"""A run goes on from its own checkpoint alone: other settings and data are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stub import save_stub

SAVING = "[{class_path: ModelCheckpoint, init_args: {every_n_train_steps: 1, save_top_k: -1}}]"
RECIPE = """\
seed_everything: 7
model:
  base: stub
  schedule: constant
  optimizer: {name: SGD, lr: 0.01, momentum: 0.9}
  objectives:
    forget: {name: npo, weight: 0.5, beta: 0.2}
    retain: {name: retain_kl}
data:
  batch_size: 1
  streams:
    forget: {name: qa, path: forget.jsonl}
    retain: {name: qa, path: retain.jsonl}
trainer: {max_steps: 4, accelerator: cpu}
"""


@pytest.fixture
def stopped(folder, recipe, command) -> str:
    """The recipe was trained for four steps; the checkpoint after the second."""
    save_stub({"random_init": 1}, folder / "stub")
    recipe(RECIPE)
    done = command("fit", "-r", "recipe.yaml", "--trainer.callbacks", SAVING)
    assert done.code == 0, done.err
    (found,) = folder.rglob("*step=2.ckpt")
    return str(found)


def _end(folder: Path, run_dir: str) -> tuple[dict[str, torch.Tensor], dict]:
    (run,) = (folder / run_dir).glob("recipe/*")
    environment = json.loads((run / "environment.json").read_text())
    return load_file(run / "model" / "model.safetensors"), environment


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model.optimizer.lr", "0.5"), "model.optimizer.lr: 0.01 is now 0.5"),
        (("--model.optimizer", "AdamW"), "class_path: torch.optim.SGD is now torch.optim.AdamW"),
        (("--seed_everything", "8"), "seed_everything: 7 is now 8"),
        (("--model.objectives.forget.weight", "1"), "objectives.forget.weight: 0.5 is now 1.0"),
        (("--trainer.accumulate_grad_batches", "2"), "accumulate_grad_batches: 1 is now 2"),
        (("--trainer.max_steps", "3"), "trainer.max_steps: 4 is now 3"),
        (("--trainer.callbacks", "[{class_path: StochasticWeightAveraging, init_args: "
          "{swa_lrs: 0.1}}]"), "trainer.callbacks.0.swa_lrs: not there is now 0.1"),
    ],
)  # fmt: skip
def test_another_recipe_is_refused_with_both_values(command, stopped, words, told) -> None:
    done = command("fit", "-r", "recipe.yaml", "--ckpt_path", stopped, *words)
    assert done.code == 2
    assert told in " ".join(done.err.replace("│", " ").split())
    assert "--resume_with_changes" in done.err


def test_changed_and_doubled_rows_are_refused(command, folder, stopped) -> None:
    file = folder / "forget.jsonl"
    given = file.read_text()
    for text, rows in ((given.replace("cd", "dc"), 3), (given + given, 6)):
        file.write_text(text)
        done = command("fit", "-r", "recipe.yaml", "--ckpt_path", stopped)
        assert done.code == 2
        told = " ".join(done.err.replace("│", " ").split())
        assert "data.streams.forget: 3 rows (sha256:" in told
        assert f"is now {rows} rows (sha256:" in told


def test_other_weights_of_the_base_are_refused(command, folder, stopped) -> None:
    save_stub({"random_init": 2}, folder / "other")
    other = (folder / "other" / "model.safetensors").read_bytes()
    (folder / "stub" / "model.safetensors").write_bytes(other)
    done = command("fit", "-r", "recipe.yaml", "--ckpt_path", stopped)
    assert done.code == 2
    assert "weights or config of model.base: sha256:" in done.err


def test_what_changes_no_step_may_change_and_the_weights_are_the_same(
    command, folder, stopped
) -> None:
    words = ("--run_dir", "again", "--trainer.max_time", "00:01:00:00", "--data.num_workers", "1")
    words = (*words, "--trainer.callbacks", "[{name: collapse_stop, forget_nll: 99}]")
    done = command("fit", "-r", "recipe.yaml", "--ckpt_path", stopped, *words)
    assert done.code == 0, done.err
    whole, _ = _end(folder, "runs")
    found, environment = _end(folder, "again")
    assert all(torch.equal(found[key], weight) for key, weight in whole.items())
    (entry,) = environment["resumed"]
    assert (entry["from"], entry["step"]) == (stopped, 2)
    changed = {each["key"]: (each["then"], each["now"]) for each in entry["changes"]}
    assert changed["run_dir"] == ("runs", "again")
    assert changed["data.num_workers"] == (0, 1)


def test_more_steps_are_taken_where_the_schedule_has_no_end(command, folder, stopped) -> None:
    words = ("fit", "-r", "recipe.yaml", "--trainer.max_steps", "6", "--run_dir")
    assert command(*words, "whole").code == 0
    assert command(*words, "again", "--ckpt_path", stopped).code == 0
    whole, found = _end(folder, "whole")[0], _end(folder, "again")[0]
    assert all(torch.equal(found[key], weight) for key, weight in whole.items())


def test_more_steps_are_refused_where_the_schedule_has_an_end(command, folder, recipe, stopped):
    recipe(RECIPE.replace("schedule: constant", "schedule: linear"), "linear.yaml")
    done = command("fit", "-r", "linear.yaml", "--trainer.callbacks", SAVING)
    assert done.code == 0, done.err
    (found,) = (folder / "runs" / "linear").rglob("*step=2.ckpt")
    words = ("fit", "-r", "linear.yaml", "--ckpt_path", str(found))
    done = command(*words, "--trainer.max_steps", "6")
    assert done.code == 2
    assert "trainer.max_steps: 4 is now 6" in done.err
    done = command(*words, "--trainer.max_steps", "6", "--resume_with_changes")
    assert done.code == 0, done.err


def test_an_accepted_change_is_used_and_written_down(command, folder, stopped) -> None:
    """A rate of 0 and no momentum leave the weights of the second step."""
    still = ("--model.optimizer.lr", "0", "--model.optimizer.momentum", "0")
    words = ("fit", "-r", "recipe.yaml", "--ckpt_path", stopped, "--run_dir", "again", *still)
    done = command(*words, "--resume_with_changes")
    assert done.code == 0, done.err
    found, environment = _end(folder, "again")
    at = torch.load(stopped, weights_only=True)["state_dict"]
    for key, weight in found.items():
        torch.testing.assert_close(weight, at[f"policy.{key}"], rtol=0, atol=0)
    (entry,) = environment["resumed"]
    assert {"key": "model.optimizer.lr", "then": 0.01, "now": 0.0} in entry["changes"]
    assert "goes on with changes" in done.err


def test_another_optimizer_begins_afresh_once_accepted(command, folder, stopped) -> None:
    other = ("--model.optimizer", "AdamW", "--model.optimizer.lr", "0")
    words = ("fit", "-r", "recipe.yaml", "--ckpt_path", stopped, "--run_dir", "again", *other)
    done = command(*words, "--model.optimizer.weight_decay", "0", "--resume_with_changes")
    assert done.code == 0, done.err
    at = torch.load(stopped, weights_only=True)["state_dict"]
    for key, weight in _end(folder, "again")[0].items():
        torch.testing.assert_close(weight, at[f"policy.{key}"], rtol=0, atol=0)


def test_a_checkpoint_without_a_record_is_taken_with_a_warning(command, folder, stopped) -> None:
    checkpoint = torch.load(stopped, weights_only=True)
    del checkpoint["made_with"]
    torch.save(checkpoint, folder / "old.ckpt")
    words = ("--run_dir", "again", "--model.optimizer.lr", "0.01")
    done = command("fit", "-r", "recipe.yaml", "--ckpt_path", "old.ckpt", *words)
    assert done.code == 0, done.err
    assert "does not say what it was made with" in " ".join(done.err.split())


def test_another_version_is_told_and_recorded(command, folder, stopped) -> None:
    checkpoint = torch.load(stopped, weights_only=True)
    checkpoint["made_with"]["versions"]["torch"] = "1.0"
    torch.save(checkpoint, folder / "old.ckpt")
    done = command("fit", "-r", "recipe.yaml", "--ckpt_path", "old.ckpt", "--run_dir", "again")
    assert done.code == 0, done.err
    told = " ".join(done.err.split())
    assert "torch: 1.0 is now" in told
    assert "other versions of what is installed" in told
    (entry,) = _end(folder, "again")[1]["resumed"]
    assert {each["key"] for each in entry["changes"]} == {
        "torch",
        "run_dir",
    }


OWN = "from unlearnkit.objectives import NPO\n\nclass Mine(NPO):\n    pass\n"
SUITE = "from unlearnkit.suites import Copyright\n\nclass Told(Copyright):\n    pass\n"


def test_changed_own_code_is_refused_by_file_and_class_unless_it_only_measures(
    command, folder, recipe
) -> None:
    save_stub({"random_init": 1}, folder / "stub")
    (folder / "own_of_resume.py").write_text(OWN)
    (folder / "own_suite_of_resume.py").write_text(SUITE)
    recipe(RECIPE.replace("name: npo", "name: own_of_resume.Mine"))
    suite = ("--evaluate", "[{name: own_suite_of_resume.Told, max_new_tokens: 2}]")
    done = command("fit", "-r", "recipe.yaml", "--trainer.callbacks", SAVING, *suite)
    assert done.code == 0, done.err
    (stopped,) = folder.rglob("*step=2.ckpt")
    words = ("fit", "-r", "recipe.yaml", "--ckpt_path", str(stopped), *suite)
    (folder / "own_suite_of_resume.py").write_text(f"{SUITE}    limit_of_mine = 3\n")
    done = command(*words, "--run_dir", "again")
    assert done.code == 0, done.err
    (change,) = (
        each
        for each in _end(folder, "again")[1]["resumed"][0]["changes"]
        if each["key"].startswith("code of")
    )
    assert change["key"] == (
        "code of suite or attack own_suite_of_resume.Told (own_suite_of_resume.py)"
    )
    (folder / "own_of_resume.py").write_text(f"{OWN}    size = 1\n")
    done = command(*words)
    assert done.code == 2
    told = " ".join(done.err.replace("│", " ").split())
    assert "code of own_of_resume.Mine (own_of_resume.py): sha256:" in told
    done = command(*words, "--run_dir", "taken", "--resume_with_changes")
    assert done.code == 0, done.err
    assert "goes on with changes" in done.err
    keys = [each["key"] for each in _end(folder, "taken")[1]["resumed"][0]["changes"]]
    assert "code of own_of_resume.Mine (own_of_resume.py)" in keys


def test_a_damaged_checkpoint_is_refused_before_the_model_is_loaded(
    command, folder, stopped, monkeypatch
) -> None:
    file = Path(stopped)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    file.write_bytes(content)
    monkeypatch.setattr(
        "unlearnkit.module.UnlearningModule.configure_model", lambda module: pytest.fail("loaded")
    )
    runs = sorted((folder / "runs" / "recipe").iterdir())
    done = command("fit", "-r", "recipe.yaml", "--ckpt_path", stopped)
    assert done.code == 2
    assert "is damaged" in done.err
    assert sorted((folder / "runs" / "recipe").iterdir()) == runs
