from typing import get_args

import pytest
import torch

from unlearnkit.functional import flat
from unlearnkit.functional.f_divergence import Divergence
from unlearnkit.objectives import FLAT


def means(view):
    p = view.logps.exp()
    return torch.stack([part.mean() for part in p.split(view.lengths.tolist())])


@pytest.mark.parametrize("divergence", get_args(Divergence))
def test_mean_over_pairs(make_view, divergence):
    forget, template = make_view(), make_view(1)
    loss = FLAT(divergence=divergence)({"forget": forget, "idk": template})
    expected = flat(means(template), means(forget), divergence).mean()
    torch.testing.assert_close(loss, expected)


def test_equal_answers(make_view):
    view = make_view()
    assert FLAT()({"forget": view, "idk": view}).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("divergence", ["total_variation", "kl", "jensen_shannon"])
def test_repository_takes_the_mean_of_the_batch_first(make_view, divergence):
    forget, template = make_view(), make_view(1)
    objective = FLAT(divergence=divergence, compat="FLAT")
    loss = objective({"forget": forget, "idk": template})
    expected = flat(template.logps.exp().mean(), forget.logps.exp().mean(), divergence)
    torch.testing.assert_close(loss, expected)


def test_repository_has_other_conjugates(make_view):
    forget, template = make_view(), make_view(1)
    views = {"forget": forget, "idk": template}
    f, e = forget.logps.exp().mean(), template.logps.exp().mean()
    jeffrey = FLAT(divergence="jeffrey", compat="FLAT")(views)
    torch.testing.assert_close(jeffrey, -e + f + f**2 / 4 + f**3 / 16)
    neyman = FLAT(divergence="neyman", compat="FLAT")(views)
    torch.testing.assert_close(neyman, e.exp() - 1 + 2 - 2 * (1 - f).sqrt())
