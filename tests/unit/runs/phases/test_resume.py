from __future__ import annotations

from pathlib import Path

import pytest

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.runs.phases.resume import Unfinished, next_folder, unfinished_run


def phase(folder: Path, recipe: str, done: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe)
    if done:
        (folder / "summary.json").write_text("{}")
    return folder


def test_a_phase_that_was_interrupted_is_run_again_beside(tmp_path) -> None:
    assert next_folder(tmp_path, "a") == tmp_path / "a"
    (tmp_path / "a").mkdir()
    (tmp_path / "a+2").mkdir()
    assert next_folder(tmp_path, "a") == tmp_path / "a+3"


def test_a_finished_phase_is_held_to_its_recipe(tmp_path) -> None:
    done = phase(tmp_path / "a", "seed: 1\n")
    phase(tmp_path / "a+2", "seed: 1\n", done=False)
    run = Unfinished(tmp_path)
    assert run.finished("a", "seed: 1") == done
    assert run.finished("b", "seed: 1") is None
    with pytest.raises(RecipeError, match="seed 1 is now 2"):
        run.finished("a", "seed: 2")
    assert Unfinished().finished("a", "seed: 1") is None


def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(tmp_path) -> None:
    inside = phase(tmp_path / "a", "seed: 1\n", done=False)
    (inside / "x.ckpt").touch()
    assert Unfinished(tmp_path).checkpoint("a", "seed: 1") == str(inside / "x.ckpt")
    assert Unfinished(tmp_path).checkpoint("a", "seed: 2") is None


def test_the_last_run_in_phases_is_found_and_must_not_be_finished(tmp_path) -> None:
    with pytest.raises(UserError, match="no run to resume"):
        unfinished_run(tmp_path, "last")
    phase(tmp_path / "1", "phases: []\n")
    phase(tmp_path / "3", "seed: 1\n", done=False)  # has no phases
    with pytest.raises(UserError, match="is finished"):
        unfinished_run(tmp_path, "last")
    phase(tmp_path / "2", "phases: []\n", done=False)
    assert unfinished_run(tmp_path, "last").folder == tmp_path / "2"
    with pytest.raises(RecipeError, match="there is no file"):
        unfinished_run(tmp_path, "gone.ckpt")
