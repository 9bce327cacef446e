import math

import pytest
import torch

from unlearnkit import functional
from unlearnkit.functional import d2o, dpo, npo, safe_unlearning, simnpo


@pytest.fixture
def logps(random):
    """[3] sums of log-probabilities, float64 with gradient."""
    return (-5 * torch.rand(3, generator=random, dtype=torch.float64)).requires_grad_()


@pytest.fixture
def ref_logps(random):
    return -5 * torch.rand(3, generator=random, dtype=torch.float64)


def gradient(value, x):
    return torch.autograd.grad(value, x)[0]


class TestNPO:
    @pytest.mark.parametrize(("beta", "value"), [(0.1, 13.862943611), (1.0, 1.386294361)])
    def test_value_at_the_reference(self, logps, beta, value):
        assert npo(logps, logps.detach(), beta).tolist() == pytest.approx([value] * 3)

    def test_gradient_at_the_reference_is_gradient_ascent(self, logps):
        of_npo = gradient(npo(logps, logps.detach(), 0.3).mean(), logps)
        torch.testing.assert_close(of_npo, gradient(logps.mean(), logps))

    def test_gradient_is_ascent_weighted_by_the_fraction_of_the_policy(self, logps, ref_logps):
        beta = 0.7
        pi, ref = logps.exp() ** beta, ref_logps.exp() ** beta
        weight = (2 * pi / (pi + ref)).detach()
        found = gradient(npo(logps, ref_logps, beta).sum(), logps)
        torch.testing.assert_close(found, weight)
        assert bool(((weight > 0) & (weight < 2)).all())

    def test_less_likely_is_the_smaller_loss(self):
        ratio = torch.tensor([-4.0, 4.0]) * math.log(2)
        expected = [2 * math.log(1 + 2**-4), 2 * math.log(1 + 2**4)]
        assert npo(ratio, torch.zeros(2), beta=1.0).tolist() == pytest.approx(expected)

    def test_small_beta_is_gradient_ascent(self, logps, ref_logps):
        beta = 1e-5
        above = npo(logps, ref_logps, beta) - 2 / beta * math.log(2)
        torch.testing.assert_close(above, logps - ref_logps, atol=1e-4, rtol=0)

    def test_no_pull_once_forgotten(self):
        logps = torch.tensor([-1e6], requires_grad=True)
        value = npo(logps, torch.zeros(1), 0.1)
        assert value.item() == 0
        assert gradient(value.sum(), logps).item() == 0


class TestSimNPO:
    def test_uniform_prediction(self):
        vocabulary, beta = 16, 2.5
        logps_mean = torch.tensor([-math.log(vocabulary)], dtype=torch.float64)
        expected = 2 / beta * math.log(1 + vocabulary**-beta)
        assert simnpo(logps_mean, beta).item() == pytest.approx(expected)

    def test_two_bits_a_token(self):
        logps_mean = torch.tensor([-2 * math.log(2)] * 2)
        assert simnpo(logps_mean, beta=1.0).tolist() == pytest.approx([2 * math.log(1.25)] * 2)

    def test_gradient(self, logps):
        beta, length = 2.5, 4
        pi = (logps / length * beta).exp().detach()
        found = gradient(simnpo(logps / length, beta).sum(), logps)
        torch.testing.assert_close(found, 2 * pi / (1 + pi) / length)

    def test_at_the_margin(self):
        beta, delta, length = 2.5, 1.5, 4
        logps_sum = torch.tensor(-delta * length, requires_grad=True)
        value = simnpo(logps_sum / length, beta, gamma=beta * delta)
        assert value.item() == pytest.approx(2 / beta * math.log(2))
        assert gradient(value, logps_sum).item() == pytest.approx(1 / length)

    def test_margin_is_outside_of_beta(self):
        expected = -2 / 3 * math.log(1 / (1 + math.exp(-(3 * 0.5 - 1.0))))
        assert simnpo(torch.tensor(-0.5), beta=3.0, gamma=1.0).item() == pytest.approx(expected)


class TestDPO:
    def test_at_the_reference(self, logps, ref_logps):
        lose = ref_logps.clone().requires_grad_()
        value = dpo(logps, logps.detach(), lose, lose.detach(), beta=0.1).mean()
        assert value.item() == pytest.approx(20 * math.log(2))
        # In log-probabilities: up for the preferred, down for the rejected.
        torch.testing.assert_close(gradient(value, logps), torch.full_like(logps, -1 / 3))
        value = dpo(logps, logps.detach(), lose, lose.detach(), beta=0.1).mean()
        torch.testing.assert_close(gradient(value, lose), torch.full_like(lose, 1 / 3))

    def test_equal_answers_are_constant(self, logps, ref_logps):
        value = dpo(logps, ref_logps, logps, ref_logps)
        assert value.tolist() == pytest.approx([20 * math.log(2)] * 3)
        assert not gradient(value.sum(), logps).any()

    def test_without_the_preferred_it_is_npo(self, logps, ref_logps):
        nothing = torch.zeros_like(ref_logps)
        torch.testing.assert_close(
            dpo(nothing, nothing, logps, ref_logps, 0.3), npo(logps, ref_logps, 0.3)
        )

    def test_the_original_has_no_two_over_beta(self, logps, ref_logps):
        arguments = (ref_logps, logps, logps, ref_logps)
        scaled, original = dpo(*arguments, 0.1), dpo(*arguments, 0.1, scale="dpo")
        torch.testing.assert_close(scaled, 20 * original)


class TestD2O:
    def test_at_the_reference(self):
        samples = torch.zeros(3, requires_grad=True, dtype=torch.float64)
        forget = torch.zeros(3, requires_grad=True, dtype=torch.float64)
        value = d2o(samples, forget, beta=0.3, alpha=0.7)
        assert value.tolist() == pytest.approx([math.log(2)] * 3)
        of_samples, of_forget = torch.autograd.grad(value.sum(), (samples, forget))
        assert of_samples.tolist() == pytest.approx([-0.15] * 3)
        assert of_forget.tolist() == pytest.approx([0.35] * 3)

    def test_one_sample_is_dpo(self, logps, ref_logps):
        ours = d2o(logps - ref_logps, ref_logps - logps, 0.2, 0.2)
        torch.testing.assert_close(ours, dpo(logps, ref_logps, ref_logps, logps, 0.2, scale="dpo"))


class TestSafeUnlearning:
    def test_at_the_reference(self, logps):
        beta = 1.5
        value = safe_unlearning(logps, logps.detach(), beta)
        assert value.tolist() == pytest.approx([math.log(2)] * 3)
        found = gradient(value.mean(), logps)
        torch.testing.assert_close(found, beta / 2 * gradient(logps.mean(), logps))

    def test_is_npo_of_means_without_its_factor(self, logps, ref_logps):
        beta = 1.5
        ours = safe_unlearning(logps, ref_logps, beta)
        torch.testing.assert_close(ours, beta / 2 * npo(logps, ref_logps, beta))


def test_half_precision_is_raised_to_float32():
    logps, ref_logps = torch.tensor([-2001.0]), torch.tensor([-2000.0])
    for found in (
        functional.npo(logps.bfloat16(), ref_logps.bfloat16()),
        functional.simnpo(logps.bfloat16()),
        functional.safe_unlearning(logps.bfloat16(), ref_logps.bfloat16()),
        functional.d2o(logps.bfloat16(), ref_logps.bfloat16()),
        functional.dpo(*[logps.bfloat16()] * 4),
        functional.wga(logps.bfloat16()),
        functional.satimp(logps.bfloat16()),
    ):
        assert found.dtype == torch.float32
