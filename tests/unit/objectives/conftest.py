import pytest
import torch

from unlearnkit.testing import stream_view

LENGTHS = [2, 1, 3]
TARGET = torch.tensor([0, 3, 5, 3, 1, 2])


@pytest.fixture
def make_view():
    """A view of three sequences with 6 tokens of a vocabulary of 6; the seed draws the logits."""

    def make(seed=0, *, lengths=LENGTHS, target=TARGET, reference=True, **kwargs):
        random = torch.Generator().manual_seed(seed)

        def normal(width):
            return torch.randn(sum(lengths), width, generator=random, dtype=torch.float64)

        logits = normal(6)
        return stream_view(
            logits.requires_grad_(),
            target[: sum(lengths)],
            lengths,
            ref_logits=logits.detach() + 0.3 * normal(6) if reference else None,
            hidden=normal(4),
            ref_hidden=normal(4),
            **kwargs,
        )

    return make
