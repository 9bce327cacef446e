from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from unlearnkit.engine.training.changed import TakeNewSettings


def test_the_rate_is_that_of_a_run_that_had_it_from_the_start() -> None:
    """Linear over 4 steps: after 1 step three quarters of the new rate, of 0.8, are 0.6."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=4)
    module = SimpleNamespace(make_optimizer=partial(torch.optim.SGD, lr=0.8, momentum=0.5))
    trainer = SimpleNamespace(
        optimizers=[optimizer],
        lr_scheduler_configs=[SimpleNamespace(scheduler=scheduler)],
        global_step=1,
    )
    TakeNewSettings(other_optimizer=False).on_train_start(trainer, module)  # pyright: ignore
    (group,) = optimizer.param_groups
    assert group["params"] == [weight]
    assert (group["lr"], group["momentum"]) == (pytest.approx(0.6), 0.5)
    optimizer.step()
    scheduler.step()
    assert group["lr"] == pytest.approx(0.4)


def test_moments_of_another_optimizer_are_left_out() -> None:
    checkpoint = {"optimizer_states": [{"state": {}}]}
    for other, left in ((False, [{"state": {}}]), (True, [])):
        TakeNewSettings(other).on_load_checkpoint(None, None, checkpoint)  # pyright: ignore
        assert checkpoint["optimizer_states"] == left
