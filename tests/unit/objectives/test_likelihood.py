import math

import pytest
import torch

from unlearnkit.errors import RecipeError
from unlearnkit.objectives import IDK, NLL, GradientAscent, RandomMismatch, RetainNLL
from unlearnkit.testing import stream_view

# Bits of each token: sequences [1, 3], [2], [4, 4, 1].
BITS = [1, 3, 2, 4, 4, 1]
NLLS = {"token_mean": 15 / 6, "sequence_mean": (2 + 2 + 3) / 3, "sequence_sum": (4 + 2 + 9) / 3}


@pytest.fixture
def view():
    p = torch.tensor([0.5**b for b in BITS])
    logits = torch.stack([p, 1 - p], dim=1).log()
    return stream_view(logits, torch.zeros(6, dtype=torch.long), [2, 1, 3])


@pytest.mark.parametrize(("reduction", "bits"), NLLS.items())
def test_reductions(view, reduction, bits):
    nll = NLL(reduction=reduction)({"forget": view})
    assert nll.item() == pytest.approx(bits * math.log(2))
    ascent = GradientAscent(reduction=reduction)({"forget": view})
    assert ascent.item() == pytest.approx(-bits * math.log(2))


@pytest.mark.parametrize(
    ("cls", "stream", "reduction"),
    [
        (NLL, "forget", "token_mean"),
        (GradientAscent, "forget", "token_mean"),
        (RetainNLL, "retain", "token_mean"),
        (RandomMismatch, "mismatch", "sequence_mean"),
        (IDK, "idk", "token_mean"),
    ],
)
def test_published_defaults(view, cls, stream, reduction):
    objective = cls()
    assert objective.streams == (stream,)
    sign = -1 if cls is GradientAscent else 1
    expected = sign * NLLS[reduction] * math.log(2)
    assert objective({stream: view}).item() == pytest.approx(expected)


def test_uniform_prediction():
    view = stream_view(torch.zeros(3, 8), torch.tensor([0, 5, 7]))
    assert GradientAscent()({"forget": view}).item() == pytest.approx(-math.log(8))


def test_mismatch_with_the_own_answer_is_minus_gradient_ascent(view):
    mismatch = RandomMismatch()({"mismatch": view})
    ascent = GradientAscent(reduction="sequence_mean")({"forget": view})
    torch.testing.assert_close(mismatch, -ascent)


def test_identical_answers_give_the_loss_of_one(view):
    p = torch.tensor([0.5, 0.125] * 5)
    logits = torch.stack([p, 1 - p], dim=1).log()
    five = stream_view(logits, torch.zeros(10, dtype=torch.long), [2] * 5)
    one = stream_view(logits[:2], torch.zeros(2, dtype=torch.long), [2])
    torch.testing.assert_close(
        RandomMismatch()({"mismatch": five}), RandomMismatch()({"mismatch": one})
    )


def test_equal_streams_of_graddiff_cancel():
    logits = torch.randn(3, 5, requires_grad=True)
    view = stream_view(logits, torch.tensor([0, 1, 2]))
    total = GradientAscent()({"forget": view}) + RetainNLL()({"retain": view})
    (gradient,) = torch.autograd.grad(total, logits)
    assert total.item() == 0
    assert not gradient.any()


class TestLLMUnlearn:
    def test_divides_by_one_more(self, view):
        loss = GradientAscent(compat="llm_unlearn")({"forget": view})
        expected = -(4 / 3 + 2 / 2 + 9 / 4) / 3 * math.log(2)
        assert loss.item() == pytest.approx(expected)

    def test_takes_token_1_for_padding(self):
        view = stream_view(torch.zeros(4, 8), torch.tensor([5, 1, 6, 7]))
        loss = NLL(compat="llm_unlearn")({"forget": view})
        # Neither the 1 nor the token after it has a loss, and the 1 does not count in R = 3.
        assert loss.item() == pytest.approx(2 * math.log(8) / (3 + 1))


def test_no_ascent_beyond_the_ceiling():
    p = torch.tensor([0.5**b for b in BITS])
    logits = torch.stack([p, 1 - p], dim=1).log().requires_grad_()
    view = stream_view(logits, torch.zeros(6, dtype=torch.long), [2, 1, 3])
    # Of 1, 3, 2, 4, 4 and 1 bits three are above 2.5; the others are 4 in all.
    loss = GradientAscent(ceiling=2.5 * math.log(2))({"forget": view})
    assert loss.item() == pytest.approx(-(4 + 3 * 2.5) / 6 * math.log(2))
    loss.backward()
    # d logp / d logit of the target is 1 - p.
    kept = torch.tensor([1.0, 0, 1, 0, 0, 1])
    torch.testing.assert_close(logits.grad[:, 0], kept * (1 - p) / 6)


def test_a_ceiling_that_nothing_reaches_changes_nothing(view):
    plain, high = (GradientAscent(ceiling=each)({"forget": view}) for each in (None, 100.0))
    assert plain.item() == high.item()
    with pytest.raises(RecipeError, match="ceiling must be above 0"):
        GradientAscent(ceiling=0.0)
