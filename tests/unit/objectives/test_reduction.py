from __future__ import annotations

import pytest
import torch

from unlearnkit.errors import RecipeError
from unlearnkit.objectives import NLL
from unlearnkit.objectives.reduction import llm_unlearn_mean, reduce
from unlearnkit.testing.sources import stream_view

X = torch.tensor([1.0, 2.0, 6.0])


def view(target: list[int]):
    return stream_view(torch.zeros(3, 4), torch.tensor(target), lengths=[2, 1])


def test_three_averages_by_hand() -> None:
    seen = view([2, 3, 2])
    assert reduce(seen, X, "token_mean") == 3.0
    assert reduce(seen, X, "sequence_mean") == (1.5 + 6) / 2
    assert reduce(seen, X, "sequence_sum") == (3 + 6) / 2
    with pytest.raises(RecipeError, match="reduction is one of token_mean"):
        NLL(reduction="mean")  # pyright: ignore


def test_the_repositorys_mean_divides_by_one_token_more_and_leaves_out_id_1() -> None:
    assert llm_unlearn_mean(view([2, 3, 2]), X) == (3 / 3 + 6 / 2) / 2
    assert llm_unlearn_mean(view([1, 3, 2]), X) == (0 / 2 + 6 / 2) / 2
