"""What one optimiser step holds, however it is cut up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rounding import margin
from rows import UNEQUAL
from short_fits import Recorder, objective, qa, stub_data, stub_module, train
from stub import NATS_PER_BIT

from unlearnkit.data.plan import StepPlan
from unlearnkit.data.streams.base import Stream

METHOD = {
    "forget": "npo",
    "mismatch": "random_mismatch",
    "retain": "retain_kl",
}


def _streams(folder: Path) -> dict[str, Stream]:
    return {
        "forget": qa(folder / "forget.jsonl"),
        "mismatch": Stream.resolve("mismatch")(prompts="forget", answers="retain", per_prompt=2),
        "retain": qa(folder / "retain.jsonl"),
    }


def _weights(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.policy.parameters()]).clone()


def _start() -> torch.Tensor:
    return _weights(stub_module({"forget": objective("nll")}, {"random_init": 1}))


class _Steps(Recorder):
    """Keeps the gradient's norm of each optimiser step."""

    def __init__(self) -> None:
        super().__init__()
        self.norms: list[float] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        super().on_before_optimizer_step(trainer, pl_module, optimizer)
        grads = [p.grad for p in pl_module.policy.parameters() if p.grad is not None]
        self.norms.append(float(torch.nn.utils.get_total_norm(grads)))


def _trained(folder: Path, terms: dict[str, str], batch_size: int, accumulate: int, **arguments):
    module = stub_module(
        {name: objective(term) for name, term in terms.items()},
        {"random_init": 1},
        lr=0.1,
        reference="frozen",
    )
    data = stub_data(_streams(folder), batch_size=batch_size, shuffle=False)
    steps = _Steps()
    train(module, data, steps, accumulate_grad_batches=accumulate, **arguments)
    return _weights(module), steps.norms


@pytest.mark.parametrize(("batch_size", "accumulate"), [(2, 1), (1, 2)])
def test_the_loss_of_a_step_is_the_mean_over_all_its_tokens(
    written, batch_size, accumulate
) -> None:
    folder = written(forget="b:a b:dddddddd", retain="b:aaaaaa b:d")
    bits = (2 + 3) + (8 * 4 + 3)  # a costs 2, d 4, EOS 3
    module = stub_module({"forget": objective("nll")}, {})
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=batch_size)
    seen = train(module, data, max_steps=1, accumulate_grad_batches=accumulate).figures
    found = sum(micro["forget"] for micro in seen) / len(seen)
    assert found == pytest.approx(bits / 11 * NATS_PER_BIT, rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_window_longer_than_an_epoch_is_the_epoch(written, batch_size) -> None:
    """Else a forget set of 4 rows accumulated over 64 would give 4/64 of the gradient."""
    folder = written(**UNEQUAL)
    whole, norms = _trained(folder, METHOD, 4, 1, max_epochs=3)
    cut, cut_norms = _trained(folder, METHOD, batch_size, 64, max_epochs=3)
    assert len(norms) == len(cut_norms) == 3
    assert cut_norms == pytest.approx(norms, rel=1e-4)
    assert torch.allclose(cut, whole, rtol=0, atol=margin(size=1.0))
    assert not torch.allclose(cut, _start(), rtol=0, atol=margin(size=1.0))


def test_a_short_last_window_is_the_batch_that_it_holds(written) -> None:
    """Terms of unequal rows, each with a mean of its own over the step."""
    folder = written(**UNEQUAL)
    terms = {name: METHOD[name] for name in ("forget", "mismatch")}
    whole, norms = _trained(folder, terms, 3, 1, max_epochs=2)
    cut, cut_norms = _trained(folder, terms, 1, 3, max_epochs=2)
    assert len(norms) == len(cut_norms) == 4
    assert cut_norms == pytest.approx(norms, rel=1e-4)
    assert torch.allclose(cut, whole, rtol=0, atol=margin(size=1.0))
    assert not torch.allclose(cut, _start(), rtol=0, atol=margin(size=1.0))


def test_rows_all_alike_have_gradients_all_alike_in_every_term(written) -> None:
    folder = written(forget="a:cd " * 5, retain="b:ab " * 5)
    module = stub_module(
        {"forget": objective("gradient_ascent"), "retain": objective("retain_nll")},
        {"random_init": 1},
    )
    streams = {name: qa(folder / f"{name}.jsonl") for name in ("forget", "retain")}
    steps = _Steps()
    train(
        module, stub_data(streams, batch_size=1), steps,
        max_epochs=2, accumulate_grad_batches=4,
    )  # fmt: skip
    assert steps.norms == pytest.approx([steps.norms[0]] * 4, rel=1e-5)


def _drawn(plan: StepPlan, rank: int, steps: range) -> list[int]:
    return [draw.row for step in steps for draw in plan.draws("retain", step, rank)]


def test_ranks_share_every_pass_and_a_second_run_draws_the_same(written) -> None:
    folder = written(**UNEQUAL)

    def plan(seed: int) -> StepPlan:
        data = stub_data(_streams(folder), batch_size=1, seed=seed)
        data.check()
        return data.make_plan(world=2)

    one, same, other = plan(11), plan(11), plan(12)
    for turn in (range(4), range(4, 8)):
        first, second = (_drawn(one, rank, turn) for rank in (0, 1))
        assert len(first) == len(second) == 4
        assert sorted(first + second) == list(range(8))
        assert (first, second) == tuple(_drawn(same, rank, turn) for rank in (0, 1))
        assert (first, second) != tuple(_drawn(other, rank, turn) for rank in (0, 1))
