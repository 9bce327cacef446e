from __future__ import annotations

from dataclasses import replace

import pytest

from unlearnkit.families import named
from unlearnkit.runs.resume.changes import compare
from unlearnkit.runs.resume.record import MadeWith

RECIPE = """\
seed_everything: 1
run_dir: runs
model: {schedule: constant, warmup: 0}
trainer:
  devices: 1
  max_steps: 4
  callbacks: [{name: collapse_stop, forget_nll: 5.0}]
"""
THEN = MadeWith(
    recipe=RECIPE,
    settings={"data.batch_size": 4},
    data={"forget": {"rows": 3, "fingerprint": "sha256:a"}},
    model="sha256:m",
    tokenizer="sha256:t",
    versions={"torch": "2.0"},
    code={"mine": "sha256:c"},
    steps=4,
)


def _changed(old: str, new: str, steps: int | None = 4, recipe: str = RECIPE):
    assert old in recipe
    then = replace(THEN, recipe=recipe)
    return compare(then, replace(then, recipe=recipe.replace(old, new), steps=steps), named)


def test_nothing_differs_from_itself() -> None:
    found = compare(THEN, THEN, named)
    assert (found.refused, found.free, found.versions) == ([], [], [])


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("run_dir: runs", "run_dir: other", "run_dir"),
        ("devices: 1", "devices: 2", "trainer.devices"),
        ("devices: 1", "devices: 1\n  strategy: ddp", "trainer.strategy"),
        ("run_dir: runs", "evaluate: [{name: copyright}]\nrun_dir: runs", "evaluate.0.name"),
    ],
)
def test_what_changes_no_step_is_free(old, new, key) -> None:
    found = _changed(old, new)
    assert found.refused == []
    assert [each.key for each in found.free] == [key]


def test_what_is_in_no_list_is_refused_with_both_values() -> None:
    (found,) = _changed("seed_everything: 1", "seed_everything: 2").refused
    assert str(found) == "seed_everything: 1 is now 2"
    (found,) = _changed("run_dir: runs", "run_dir: runs\nnew: 3").refused
    assert str(found) == "new: not there is now 3"
    # A key that begins like a free one is another key.
    assert _changed("devices: 1", "devices: 1\n  devices_more: 1").refused


def test_callbacks_that_watch_are_free_and_others_are_not() -> None:
    assert _changed("forget_nll: 5.0", "forget_nll: 9.0").refused == []
    assert _changed("{name: collapse_stop", "{name: mine.Callback").refused
    # An own class of the same name is not the one that is known.
    assert _changed("{name: collapse_stop", "{class_path: mine.EarlyStopping").refused


@pytest.mark.parametrize(
    ("schedule", "warmup", "steps", "refused"),
    [
        ("constant", 0, 6, False),
        ("constant", 2, 6, False),  # two steps are two steps
        ("constant", 0.5, 6, True),  # half of all is more
        ("linear", 0, 6, True),
        ("constant", 0, None, False),
        ("constant", 0, 3, True),  # fewer
    ],
)
def test_more_steps_are_free_where_the_schedule_has_no_end(schedule, warmup, steps, refused):
    recipe = RECIPE.replace("constant, warmup: 0", f"{schedule}, warmup: {warmup}")
    found = _changed("max_steps: 4", f"max_steps: {steps or -1}", steps, recipe)
    assert bool(found.refused) == refused
    assert bool(found.free) != refused


def test_files_are_told_by_their_digests() -> None:
    rows = {"forget": {"rows": 6, "fingerprint": "sha256:b"}}
    now = replace(THEN, data=rows, model="sha256:n")
    found = compare(THEN, now, named)
    assert [str(each) for each in found.refused] == [
        "data.streams.forget: 3 rows (sha256:a) is now 6 rows (sha256:b)",
        "weights or config of model.base: sha256:m is now sha256:n",
    ]


def test_versions_are_told_and_own_code_that_trains_is_refused() -> None:
    code = {"unlearnkit": "sha256:u", "suite or attack mine.Mine (mine.py)": "sha256:s"}
    then = replace(THEN, code={**THEN.code, **dict.fromkeys(code, "sha256:then")})
    now = replace(then, versions={"torch": "3.0"}, code={"mine": "sha256:d", **code})
    found = compare(then, now, named)
    assert [str(each) for each in found.refused] == ["code of mine: sha256:c is now sha256:d"]
    assert [each.key for each in found.free] == ["code of suite or attack mine.Mine (mine.py)"]
    assert [each.key for each in found.versions] == ["torch", "code of unlearnkit"]


def test_runs_without_a_recipe_are_compared_by_their_settings() -> None:
    then = replace(THEN, recipe="")
    found = compare(then, replace(then, settings={"data.batch_size": 2}), named)
    assert [str(each) for each in found.refused] == ["data.batch_size: 4 is now 2"]


def test_own_code_that_only_one_of_both_has_is_told_and_not_refused() -> None:
    """A callback of a program may watch alone; parts that train stand in the settings too."""
    found = compare(THEN, replace(THEN, code={"other": "sha256:d"}), named)
    assert (found.refused, found.free, found.versions) == ([], [], [])
    assert [each.key for each in found.parts] == ["code of mine", "code of other"]
