"""The plan of attention has the keys and masks that a forest means."""

from __future__ import annotations

import torch

from unlearnkit.data.attention_plan import Tree, plan_attention

FOREST = (Tree((0, 2), ((2, 3), (3, 5))), Tree((5, 6), ((6, 8),)), Tree((8, 10), ()))


def test_a_prompt_with_one_response_is_one_part() -> None:
    plan = plan_attention(FOREST)
    assert plan.queries == (2, 1, 2, 3, 2)
    assert plan.keys == (2, 3, 4, 3, 2)
    assert plan.query_ends.tolist() == [0, 2, 3, 5, 8, 10]
    assert plan.key_ends.tolist() == [0, 2, 5, 9, 12, 14]
    assert plan.gather is not None
    assert plan.gather.tolist() == [0, 1, 0, 1, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9]


def test_responses_may_lie_anywhere_in_the_row() -> None:
    plan = plan_attention([Tree((1, 3), ((6, 7), (4, 6))), Tree((0, 1), ()), Tree((3, 4), ())])
    assert plan.queries == (1, 2, 1, 2, 1)
    assert plan.keys == (1, 2, 1, 4, 3)
    assert plan.gather is not None
    assert plan.gather.tolist() == [0, 1, 2, 3, 1, 2, 4, 5, 1, 2, 6]


def test_without_shared_prompts_nothing_is_gathered() -> None:
    plan = plan_attention(FOREST[1:2])
    assert plan.gather is None
    assert plan.keys == plan.queries == (3,)


def test_masks_are_causal_from_the_end_and_cut_by_the_window() -> None:
    plan = plan_attention(FOREST)
    assert plan.mask(3, 3, None) is None
    assert plan.mask(3, 3, 3) is None  # a window of three tokens hides none of three
    whole, cut = plan.mask(2, 4, None), plan.mask(2, 4, 2)
    assert whole is not None
    assert cut is not None
    assert whole.int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert cut.int().tolist() == [[0, 1, 1, 0], [0, 0, 1, 1]]
    assert plan.mask(2, 4, 2) is cut  # decoder blocks share it
    assert [plan.reaches(window) for window in (None, 4, 3)] == [False, False, True]


def test_a_moved_plan_makes_its_masks_anew() -> None:
    plan = plan_attention(FOREST)
    plan.mask(2, 4, None)
    moved = plan.to("meta")
    mask = moved.mask(2, 4, None)
    assert mask is not None
    assert mask.device == torch.device("meta")
