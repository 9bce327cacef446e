import pytest
import torch


@pytest.fixture
def random():
    return torch.Generator().manual_seed(7)


@pytest.fixture
def logits(random):
    """[4, 6] float64 with gradient."""
    return torch.randn(4, 6, generator=random, dtype=torch.float64).requires_grad_()


@pytest.fixture
def ref_logits(random):
    """[4, 6] float64."""
    return torch.randn(4, 6, generator=random, dtype=torch.float64)


@pytest.fixture
def target():
    """[4] token ids below 6."""
    return torch.tensor([0, 3, 5, 3])
