"""``unlearnkit validate`` on recipes with choices."""

from __future__ import annotations

import pytest

TOFU = ("validate", "-r", "published/tofu")


@pytest.mark.parametrize(
    "words",
    [
        (),
        # Both are right with the block that was meant, and with no other.
        ("--model.objectives.forget.layer", "3", "--data.streams.idk.limit", "3"),
    ],
)
def test_a_block_that_a_choice_does_not_have_is_the_only_mistake(command, words) -> None:
    done = command(*TOFU, "--method", "rmv", *words)
    assert done.code == 2
    assert "command line: method: there is no 'rmv'. Did you mean 'rmu'? It has: npo," in done.err
    assert "mistakes" not in done.err
    assert "model.objectives" not in done.err


def test_each_choice_without_such_a_block_is_told(command) -> None:
    done = command("validate", "-r", "published/muse", "--folds", "sust", "--method", "a",
                   "--corpus", "b")  # fmt: skip
    assert (done.code, done.err.count("there is no")) == (2, 2)
    assert "muse.yaml has 2 mistakes." in done.err


@pytest.mark.parametrize(
    ("words", "wrong", "near"),
    [
        (("published/tofu", "--methd", "npo"), "methd", "method"),
        (("published/muse", "--copus", "books"), "copus", "corpus"),
        (("published/muse", "--folds", "sust", "--copus", "books"), "copus", "corpus"),
    ],
)
def test_a_misspelt_choice_is_corrected_by_those_of_the_recipe(command, words, wrong, near) -> None:
    done = command("validate", "-r", *words)
    assert done.code == 2
    told = f"command line: {wrong}: this recipe has neither a section nor a choice '{wrong}'."
    assert f"{told} Did you mean --{near}?" in done.err
    assert "mistakes" not in done.err


def test_a_word_like_none_is_told_with_sections_and_choices(command) -> None:
    done = command(*TOFU, "--xyz", "3")
    assert done.code == 2
    assert "It has: model, data, trainer," in done.err
    assert "Choices of this recipe: split, size, method." in done.err
    done = command("validate", "-r", "good.yaml", "--xyz", "3")
    assert (done.code, "Choices" in done.err) == (2, False)
