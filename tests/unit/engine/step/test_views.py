from __future__ import annotations

import pytest
import torch
from rounding import near

from unlearnkit.engine.step.views import StreamView
from unlearnkit.testing.sources import LogitsSource


def view(reference: bool = True, **shares: float) -> StreamView:
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(3, 4, generator=generator) for _ in range(2)]
    target, sequence = torch.tensor([1, 0, 3]), torch.tensor([0, 0, 1])
    sources = [LogitsSource(each, target) for each in logits]
    return StreamView(
        sources[0], sources[1] if reference else None, tokens=torch.arange(3), target=target,
        sequence=sequence, rows=[5, 9], **shares,
    )  # fmt: skip


def test_averages_are_over_the_step_and_sums_over_rows() -> None:
    x = torch.tensor([1.0, 2.0, 6.0])
    seen = view()
    assert (seen.mean(x), seen.sequence_mean(seen.row_sum(x))) == (3.0, 4.5)
    assert seen.row_mean(x).tolist() == [1.5, 6.0]
    # Of a step of twice as many tokens, this part gives half.
    assert view(token_share=6.0).mean(x) == 1.5
    assert (seen.lengths.tolist(), seen.token_in_sequence.tolist()) == ([2, 1], [0, 1, 0])


def test_one_value_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="each of the 3 response tokens"):
        view().mean(torch.ones(2))


def test_figures_are_of_what_was_read() -> None:
    seen = view()
    assert seen.metrics() == {}
    nll = -seen.logits.log_softmax(-1)[torch.arange(3), seen.target]
    assert seen.logps.tolist() == near((-nll).tolist())
    assert set(seen.metrics()) == {"nll"}
    assert float(seen.metrics()["nll"]) == near(float(nll.mean()))
    assert not seen.ref_logps.requires_grad
    assert set(seen.metrics()) == {"nll", "log_ratio"}


def test_a_reference_that_was_not_asked_for_is_told() -> None:
    with pytest.raises(LookupError, match="needs = frozenset"):
        _ = view(reference=False).ref_logps
