"""Views of a batch under DistributedDataParallel have the gradient of one process."""

from __future__ import annotations

import torch
from architectures import tiny_model
from processes import run_ranks
from rounding import margin
from views_on_ranks import gradient, main


def test_two_ranks_have_the_gradient_of_one_process(tmp_path) -> None:
    for done in run_ranks(2, main, str(tmp_path)):
        assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"rank{n}.pt", weights_only=True) for n in (0, 1))
    assert torch.equal(first, second)
    # Both ranks have three response tokens, so the mean over ranks is that over tokens.
    expected = gradient(tiny_model("llama"), slice(0, 4))
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=margin())
