"""`evaluate_every`: figures while training, and the best model at the end."""

from __future__ import annotations

import csv
import json

import pytest
import torch

from unlearnkit.callbacks import EvaluateEvery
from unlearnkit.cli.main import main
from unlearnkit.errors import RecipeError
from unlearnkit.models.load import load_model
from unlearnkit.suites import Copyright

SUITE = "{name: copyright, limit: 2, max_new_tokens: 4}"


def fit(folder, callback, *options, steps=4):
    code = main(
        [
            *("fit", "--recipe", "copyright", "--run_dir", str(folder)),
            *("--trainer.max_steps", str(steps), "--trainer.accelerator", "cpu"),
            *("--trainer.callbacks", f"[{callback}]", "--trainer.enable_progress_bar", "false"),
            *("--trainer.log_every_n_steps", "1", "--model.optimizer.lr", "1e-2"),
            *("--evaluate", SUITE, "--gold", "null", *options),
        ]
    )
    found = sorted((folder / "copyright").glob("*")) if (folder / "copyright").exists() else []
    return code, found[-1] if found else None


def logged(run, key):
    with (run / "metrics.csv").open() as file:
        return {
            int(line["step"]): float(line[key]) for line in csv.DictReader(file) if line.get(key)
        }


def test_figures_are_logged_every_few_steps_and_training_does_not_notice(tmp_path):
    _, plain = fit(tmp_path / "plain", "")
    code, watched = fit(tmp_path / "watched", "{name: evaluate_every, steps: 2}")
    assert code == 0
    values = logged(watched, "val/copyright/forget/nll")
    assert set(values) == {2, 4}
    assert "val/score" not in (watched / "metrics.csv").read_text()
    states = [load_model(str(run / "model")).state_dict() for run in (plain, watched)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    summary = json.loads((watched / "summary.json").read_text())
    after = summary["suites"]["copyright"]["after"]["forget/nll"]
    assert values[max(values)] == pytest.approx(after, rel=1e-4)


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """A run that keeps its best weights, and the checkpoint that Lightning keeps beside."""
    # At this rate the model is destroyed within a few steps: the first one seen is the best.
    folder = tmp_path_factory.mktemp("best")
    score = "[copyright/normal/rougeL_recall, copyright/heldout/rougeL_recall]"
    keeper = (
        "{class_path: lightning.pytorch.callbacks.ModelCheckpoint, init_args: {monitor: val/score, "
        "mode: max, save_top_k: 1, every_n_train_steps: 1, filename: best, dirpath: CHECKPOINTS}}"
    ).replace("CHECKPOINTS", str(folder / "kept"))
    callbacks = f"{{name: evaluate_every, steps: 1, score: {score}}}, {keeper}"
    suite = "{name: copyright, limit: 6, max_new_tokens: 12}"
    weights = ("--model.objectives.retain.weight", "0", "--evaluate", suite)
    code, run = fit(folder, callbacks, *weights)
    assert code == 0
    (file,) = (folder / "kept").glob("*.ckpt")
    return run, file


def test_the_best_weights_are_put_back(best):
    run, _ = best
    scores = logged(run, "val/score")
    assert len(scores) == 4
    best = max(scores.values())
    assert scores[max(scores)] < best
    after = json.loads((run / "summary.json").read_text())["suites"]["copyright"]["after"]
    two = [after["normal/rougeL_recall"], after["heldout/rougeL_recall"]]
    harmonic = 2 / sum(1 / value for value in two)
    assert harmonic == pytest.approx(best, rel=1e-4)


def test_lightning_keeps_the_checkpoint_of_the_best_score(best):
    run, file = best
    scores = logged(run, "val/score")
    kept = torch.load(file, weights_only=True)
    step = max(scores, key=scores.__getitem__)
    assert step < max(scores)
    assert kept["global_step"] == step
    # `evaluate_every` ends with the same weights.
    ended = load_model(str(run / "model")).state_dict()
    same = {key.removeprefix("policy."): value for key, value in kept["state_dict"].items()}
    compared = [key for key in ended if key in same]
    assert len(compared) > 30
    assert all(torch.equal(ended[key], same[key]) for key in compared)


def test_the_score_turns_figures_that_should_be_low():
    callback = EvaluateEvery(
        score=["copyright/forget/rougeL_recall", "copyright/normal/distinct_2"]
    )
    callback.suites = [Copyright()]
    values = {"copyright/forget/rougeL_recall": 0.2, "copyright/normal/distinct_2": 0.4}
    assert callback._score(values) == pytest.approx(2 / (1 / 0.8 + 1 / 0.4))
    values["copyright/normal/distinct_2"] = 0.0
    assert callback._score(values) == 0.0


@pytest.mark.parametrize(
    ("score", "values", "said"),
    [
        ("copyright/x", {}, "no suite measures 'copyright/x'"),
        ("copyright/heldout/nll", {}, "no suite measures"),
        ("neighbour/perplexity", {"copyright/forget/nll": 1.0}, "is not measured in this run"),
        ("forget/nll", {"copyright/forget/nll": 3.0}, r"expected a metric in \[0, 1\]"),
    ],
)
def test_figures_that_make_no_score_are_refused(score, values, said):
    callback = EvaluateEvery(score=[score])
    callback.suites = [Copyright()]
    with pytest.raises(RecipeError, match=said):
        callback._score(values)


def test_rows_are_few_and_the_recipe_s_suite_is_left_alone():
    callback, suite = EvaluateEvery(limit=3), Copyright(limit=None)
    callback.use([suite, Copyright(limit=2)], callback.context)
    assert [each.limit for each in callback.suites] == [3, 2]
    assert suite.limit is None


def test_it_needs_a_suite(tmp_path, capsys):
    code, _ = fit(tmp_path, "{name: evaluate_every}", "--evaluate", "[]")
    assert code == 2
    assert "names no suite" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(RecipeError, match="steps: expected at least 1"):
        EvaluateEvery(steps=0)
