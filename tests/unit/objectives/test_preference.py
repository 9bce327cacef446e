import math

import pytest
import torch

from unlearnkit.functional import d2o, dpo, npo, simnpo
from unlearnkit.objectives import D2O, DPO, NPO, SafeUnlearning, SimNPO
from unlearnkit.testing import stream_view


def sums(view, x):
    return torch.stack([part.sum() for part in x.split(view.lengths.tolist())])


def test_npo_sums_over_tokens_and_averages_over_sequences(make_view):
    view = make_view()
    expected = npo(sums(view, view.logps), sums(view, view.ref_logps), 0.3).mean()
    torch.testing.assert_close(NPO(beta=0.3)({"forget": view}), expected)


def test_npo_does_not_see_a_shift_of_the_logits():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, generator=random)
    target = torch.tensor([0, 1, 2])
    loss = NPO(beta=0.1)({"forget": stream_view(logits + 5, target, ref_logits=logits)})
    assert loss.item() == pytest.approx(13.862944, abs=1e-5)


def test_npo_muse_does(make_view):
    logits = torch.zeros(3, 5)
    view = stream_view(logits + 5, torch.tensor([0, 1, 2]), ref_logits=logits)
    loss = NPO(beta=0.1, compat="Unlearn-Simple/MUSE")({"forget": view})
    assert loss.item() == pytest.approx(20 * math.log(1 + math.exp(0.5)))


def test_npo_wmdp_has_one_sigmoid(make_view):
    view = make_view()
    loss = NPO(beta=0.3, compat="Unlearn-Simple/WMDP")({"forget": view})
    torch.testing.assert_close(loss, npo(view.logps.mean(), view.ref_logps.mean(), 0.3))


@pytest.mark.parametrize(
    ("compat", "gamma"),
    [(None, 0.7), ("open-unlearning", 2.5 * 0.7), ("Unlearn-Simple/TOFU", 2.5 * 0.7)],
)
def test_simnpo_margin(make_view, compat, gamma):
    view = make_view()
    means = sums(view, view.logps) / view.lengths
    loss = SimNPO(beta=2.5, gamma=0.7, compat=compat)({"forget": view})
    torch.testing.assert_close(loss, simnpo(means, 2.5, gamma).mean())


def test_simnpo_muse_and_wmdp(make_view):
    view = make_view()
    muse = SimNPO(beta=2.5, gamma=0.7, compat="Unlearn-Simple/MUSE")({"forget": view})
    expected = -2 / 2.5 * torch.nn.functional.logsigmoid(2.5 * (-view.logits - 0.7)).mean()
    torch.testing.assert_close(muse, expected)
    wmdp = SimNPO(beta=2.5, compat="Unlearn-Simple/WMDP")({"forget": view})
    torch.testing.assert_close(wmdp, simnpo(view.logps.mean(), 2.5))


def test_a_row_does_not_depend_on_its_neighbours(make_view):
    together = make_view(lengths=[2, 4])
    logits, ref = together.logits.detach(), together.ref_logits
    for objective in (NPO(), SimNPO(), SafeUnlearning()):
        alone = [
            objective({"forget": stream_view(logits[s], together.target[s], ref_logits=ref[s])})
            for s in (slice(0, 2), slice(2, 6))
        ]
        torch.testing.assert_close(objective({"forget": together}), torch.stack(alone).mean())


@pytest.mark.parametrize("scale", ["npo", "dpo"])
def test_dpo_pairs_by_row(make_view, scale):
    rejected = make_view(rows=[4, 9, 2])
    preferred = make_view(1, lengths=[1, 3, 2], rows=[9, 2, 4])
    order = [2, 0, 1]
    expected = dpo(
        sums(preferred, preferred.logps)[order],
        sums(preferred, preferred.ref_logps)[order],
        sums(rejected, rejected.logps),
        sums(rejected, rejected.ref_logps),
        0.3,
        scale,
    ).mean()
    objective = DPO(preferred="idk", beta=0.3, scale=scale)
    assert objective.streams == ("forget", "idk")
    torch.testing.assert_close(objective({"forget": rejected, "idk": preferred}), expected)


def test_d2o_averages_over_the_samples_of_a_row(make_view):
    forget = make_view(lengths=[2, 1], rows=[4, 9])
    samples = make_view(1, lengths=[1, 2, 1, 2], rows=[9, 4, 4, 9])
    ratio = sums(samples, samples.logps - samples.ref_logps)
    mean = torch.stack([ratio[[1, 2]].mean(), ratio[[0, 3]].mean()])
    of_forget = sums(forget, forget.logps - forget.ref_logps)
    loss = D2O(beta=0.3, alpha=0.7)({"forget": forget, "self_samples": samples})
    torch.testing.assert_close(loss, d2o(mean, of_forget, 0.3, 0.7).mean())


def test_safe_unlearning_is_npo_of_means(make_view):
    view = make_view()
    means = [sums(view, x) / view.lengths for x in (view.logps, view.ref_logps)]
    loss = SafeUnlearning(beta=1.5)({"forget": view})
    torch.testing.assert_close(loss, 0.75 * npo(*means, 1.5).mean())


def own_reference(view, rows=None):
    """Logits to be differentiated, and a view that has them as the reference's too."""
    logits = view.logits.detach().requires_grad_()
    lengths = view.lengths.tolist()
    own = stream_view(logits, view.target, lengths, ref_logits=logits.detach(), rows=rows)
    return logits, own


def same_gradients(left, right, *leaves):
    found, expected = (
        torch.autograd.grad(each, leaves, retain_graph=True) for each in (left, right)
    )
    torch.testing.assert_close(found, expected)


def test_d2o_at_the_reference_weighs_sums_of_samples_and_of_the_answer(make_view):
    of_forget, forget = own_reference(make_view(lengths=[2, 1]), [4, 9])
    of_samples, samples = own_reference(make_view(1, lengths=[1, 2, 1, 2]), [9, 4, 4, 9])
    loss = D2O(beta=0.3, alpha=0.7)({"forget": forget, "self_samples": samples})
    assert loss.item() == pytest.approx(math.log(2))
    # Each of two rows has two samples.
    plain = 0.35 * sums(forget, forget.logps).mean() - 0.15 * sums(samples, samples.logps).mean()
    same_gradients(loss, plain, of_forget, of_samples)


def test_safe_unlearning_at_the_reference_is_half_beta_of_ascent_on_means(make_view):
    logits, view = own_reference(make_view())
    loss = SafeUnlearning(beta=1.5)({"forget": view})
    assert loss.item() == pytest.approx(math.log(2))
    same_gradients(loss, 0.75 * (sums(view, view.logps) / view.lengths).mean(), logits)
