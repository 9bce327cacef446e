"""Detectors of O3: what they are fitted on and what they read."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.models.composite.detector import fit_detector, held_out

pytest.importorskip("sklearn")


def features_of(count, layers=3, seed=0):
    return torch.randn(count, layers, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["cosine", "o3"])
def test_inputs_that_are_held_out_are_measured_and_not_learned(kind):
    seen, unseen = features_of(6), features_of(3, seed=1)
    made, alone = fit_detector(seen, kind, heldout=unseen), fit_detector(seen, kind)
    for name in ("train_inputs", "coefficients", "offset", "precision", "mean_train"):
        assert torch.equal(getattr(made, name), getattr(alone, name))
    measured = made.decision(unseen)
    assert made.mean_heldout.item() == pytest.approx(measured.mean().item(), rel=1e-4)
    assert made.sigma.item() == pytest.approx(measured.std(correction=0).item(), rel=1e-4)


def test_the_parts_are_drawn_by_the_seed():
    seen, unseen = held_out(10, 0.2, seed=1)
    assert (len(seen), len(unseen)) == (8, 2)
    assert sorted([*seen, *unseen]) == list(range(10))
    assert held_out(10, 0.2, seed=1) == (seen, unseen)
    assert len({tuple(held_out(10, 0.2, seed)[1]) for seed in range(20)}) > 5
    assert held_out(3, 0.0) == ([0, 1, 2], [])


def test_the_published_score_reads_all_layers_but_the_embedding():
    features, other = features_of(6), features_of(6)
    other[:, 0] = features_of(6, seed=1)[:, 0]
    detector = fit_detector(features, "o3")
    assert torch.equal(detector.decision(features), detector.decision(other))
    plain = fit_detector(features, "mahalanobis")
    assert not torch.equal(plain.decision(features), plain.decision(other))
    one = fit_detector(features[:, :1], "o3")
    assert not torch.equal(one.decision(features[:, :1]), one.decision(other[:, :1]))


def test_the_published_covariance_is_the_plain_one_with_a_pseudoinverse():
    features = features_of(3)
    centred = (features[:, 1] - features[:, 1].mean(0)).double()
    expected = torch.linalg.pinv(centred.T @ centred / 3, hermitian=True)
    found = fit_detector(features, "o3").precision[1]
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-4)
