"""Runs side by side: which column is best, and what a row is called."""

from __future__ import annotations

from types import SimpleNamespace

from unit.report.run_folder import write_run
from unlearnkit.runs.compare import compare

KEYS = ("forget/rougeL_recall", "heldout/rougeL_recall", "forget/distinct_2")


def runs(folder, suite="copyright", **after):
    """A run for each of the values, with a gold model of 0.2."""
    before, gold = dict.fromkeys(KEYS, 1.0), dict.fromkeys(KEYS, 0.2)
    for name, value in after.items():
        stages = {"before": before, "after": dict.fromkeys(KEYS, value), "gold": gold}
        write_run(folder / name / "a", suites={suite: stages}, recipe=name)
    return compare([folder])


def test_of_rows_to_forget_the_nearest_to_gold_is_best(tmp_path):
    found = runs(tmp_path, none=0.0, near=0.25, far=0.6)
    assert found.best("copyright/forget/rougeL_recall") == ("near",)
    assert found.best("copyright/heldout/rougeL_recall") == ("far",)
    assert found.best("copyright/forget/distinct_2") == ("far",)


def test_a_row_is_called_by_its_suite_only_where_there_are_several(tmp_path):
    one = runs(tmp_path / "one", a=0.1, b=0.3)
    assert [one.label(key) for key in one.metrics] == list(KEYS)
    both = runs(tmp_path / "one", suite="harmful", c=0.1)
    assert "harmful/forget/distinct_2" in {both.label(key) for key in both.metrics}


def test_an_own_suite_is_ranked_by_what_its_runs_say(tmp_path):
    stored = {"Own": {key: {"role": "unseen", "direction": "up"} for key in KEYS}}
    for name, value in {"low": 0.2, "high": 0.4}.items():
        stages = {"after": dict.fromkeys(KEYS, value)}
        write_run(tmp_path / name, suites={"Own": stages}, recipe=name, metrics=stored)
    assert compare([tmp_path]).best("Own/forget/rougeL_recall") == ("high",)


def test_a_later_evaluation_adds_metrics_and_replaces_none(tmp_path, monkeypatch):
    """It may have been of fewer rows; beside `before` of all rows it would look like a change."""
    stages = {"before": {"forget/nll": 1.0}, "after": {"forget/nll": 4.0}}
    run = write_run(tmp_path / "a", suites={"copyright": stages})
    (run / "evaluation").mkdir()
    (run / "evaluation" / "copyright.json").write_text("{}")
    later = SimpleNamespace(
        inputs={"model": "same"},
        suite="copyright",
        values={"forget/nll": 9.0, "forget/leak_rate": 0.5},
        metrics={},
        generation={},
    )
    monkeypatch.setattr("unlearnkit.runs.compare.fingerprint_of", lambda _: "same")
    monkeypatch.setattr("unlearnkit.runs.compare.read_evaluation", lambda _: later)
    (column,) = [each for each in compare([tmp_path]).columns if each.ranked]
    found = {row: each.mean for row, each in column.metrics.items()}
    assert found == {"copyright/forget/nll": 4.0, "copyright/forget/leak_rate": 0.5}
    # Texts of another backend are no values of this run.
    later.generation = {"backend": "vllm"}
    (column,) = [each for each in compare([tmp_path]).columns if each.ranked]
    assert list(column.metrics) == ["copyright/forget/nll"]


def test_a_run_that_is_named_twice_is_no_second_seed(tmp_path):
    run = write_run(tmp_path / "a", suites={"copyright": {"after": {"forget/nll": 4.0}}})
    (column,) = [each for each in compare([run, tmp_path / "a" / ".." / "a", tmp_path]).columns]
    assert len(column.runs) == 1


def test_recipes_of_other_names_are_told_apart_by_their_few_settings(tmp_path):
    for name, lr in (("slow", 1e-3), ("fast", 2e-3)):
        run = write_run(tmp_path / name, recipe=name)
        recipe = f"{{seed_everything: {lr}, model: {{base: tiny, optimizer: {{lr: {lr}}}}}}}"
        (run / "recipe.yaml").write_text(recipe)
    found = {each.name: each.settings for each in compare([tmp_path]).columns if each.ranked}
    assert found == {
        "slow": (("model.optimizer.lr", "0.001"),),
        "fast": (("model.optimizer.lr", "0.002"),),
    }
