import pytest
import torch

from unlearnkit.functional import ceu, ihl, satimp, undial, unlikelihood, wga
from unlearnkit.objectives import (
    CEU,
    IHL,
    UNDIAL,
    SatImp,
    Unlikelihood,
    WeightedGradientAscent,
)


@pytest.mark.parametrize(
    ("objective", "losses"),
    [
        (WeightedGradientAscent(beta=0.5), lambda v: wga(v.logps, 0.5)),
        (SatImp(beta1=2.0, beta2=0.5), lambda v: satimp(v.logps, 2.0, 0.5)),
        (IHL(), lambda v: ihl(v.logits, v.target)),
        (Unlikelihood(), lambda v: unlikelihood(v.logits, v.target)),
        (UNDIAL(beta=3.0), lambda v: undial(v.logits, v.ref_logits, v.target, 3.0)),
        (CEU(ignore_first_n=0), lambda v: ceu(v.logits, v.target)),
    ],
    ids=lambda x: getattr(x, "registered_name", None),
)
def test_token_mean(make_view, objective, losses):
    view = make_view()
    torch.testing.assert_close(objective({"forget": view}), losses(view).mean())


class TestCEU:
    @pytest.mark.parametrize(("skipped", "kept"), [(1, [1, 4, 5]), (2, [5])])
    def test_skips_the_first_tokens(self, make_view, skipped, kept):
        view = make_view()
        loss = CEU(ignore_first_n=skipped)({"forget": view})
        torch.testing.assert_close(loss, ceu(view.logits, view.target)[kept].mean())

    def test_zero_when_nothing_is_left(self, make_view):
        view = make_view(lengths=[1, 1])
        loss = CEU()({"forget": view})
        (gradient,) = torch.autograd.grad(loss, view.logits)
        assert loss.item() == 0
        assert not gradient.any()

    def test_a_part_in_which_nothing_is_left(self, make_view):
        # The step has 6 tokens in 3 sequences, in two parts: (3, 1) and (1, 1) would be wrong
        # here, so one part is [1, 1] and the other holds one sequence of 4.
        empty = make_view(lengths=[1, 1], parts=2, step_tokens=6, step_sequences=3)
        full = make_view(1, lengths=[4], parts=2, step_tokens=6, step_sequences=3)
        loss = (CEU()({"forget": empty}) + CEU()({"forget": full})) / 2
        torch.testing.assert_close(loss, ceu(full.logits, full.target)[1:].mean())
