import copy

import pytest
import torch

from unlearnkit.functional import pdu
from unlearnkit.objectives import PDU
from unlearnkit.testing import stream_view


def identity(x):
    return x


def test_lagrangian(make_view):
    forget, retain = make_view(), make_view(1)
    objective = PDU(gamma=0.5, retain_bound=0.3, dual=2.0)
    loss = objective({"forget": forget, "retain": retain})
    expected = 0.5 * pdu(forget.logits).mean() + 2.0 * (-retain.logps.mean() - 0.3)
    torch.testing.assert_close(loss, expected)


def test_dual_weight_moves_after_the_step_only(make_view):
    retain = make_view(1)
    objective = PDU(retain_bound=0.3, dual=2.0, dual_step_size=5.0)
    objective({"forget": make_view(), "retain": retain})
    assert objective.dual == 2.0
    objective.after_step(identity)
    c = -retain.logps.mean().item()
    assert objective.dual == pytest.approx(2.0 + 5.0 * (c - 0.3))


def test_one_move_for_all_micro_batches_and_ranks(make_view):
    retain = make_view(1)
    logits, target = retain.logits.detach(), retain.target
    whole = PDU(dual=2.0)
    whole({"forget": make_view(), "retain": retain})
    whole.after_step(identity)

    def part(tokens, lengths):
        return stream_view(
            logits[tokens], target[tokens], lengths, parts=4, step_tokens=6, step_sequences=3
        )

    # Two ranks with two micro-batches each; one of the four parts has no retain rows.
    parts = (
        (part(slice(0, 2), [2]), part(slice(0, 0), [])),
        (part(slice(2, 3), [1]), part(slice(3, 6), [3])),
    )
    ranks = [PDU(dual=2.0), PDU(dual=2.0)]
    for objective, micro_batches in zip(ranks, parts, strict=True):
        for each in micro_batches:
            objective({"forget": make_view(), "retain": each})
    of_ranks = []
    for objective in copy.deepcopy(ranks):
        objective.after_step(lambda loss: of_ranks.append(loss) or loss)
    for objective in ranks:
        objective.after_step(lambda _: torch.stack(of_ranks).mean(0))
        assert objective.dual == pytest.approx(whole.dual)
    assert of_ranks[0].tolist() != pytest.approx(of_ranks[1].tolist())


def test_warm_up(make_view):
    objective = PDU(dual=2.0, dual_warmup=2)
    for expected in (True, True, False):
        objective({"forget": make_view(), "retain": make_view(1)})
        objective.after_step(identity)
        assert (objective.dual == 2.0) is expected


def test_constant_where_the_bound_is_met_exactly(make_view):
    retain = make_view(1)
    objective = PDU(dual=2.0, retain_bound=-retain.logps.mean().item())
    objective({"forget": make_view(), "retain": retain})
    objective.after_step(identity)
    assert objective.dual == pytest.approx(2.0)


def test_zero_absorbs_while_the_bound_is_kept(make_view):
    objective = PDU(dual=0.0, retain_bound=1e3)
    for _ in range(3):
        objective({"forget": make_view(), "retain": make_view(1)})
        objective.after_step(identity)
    assert objective.dual == 0.0


def test_evaluation_does_not_count(make_view):
    views = {"forget": make_view(), "retain": make_view(1)}
    objective = PDU(dual=2.0)
    with torch.no_grad():
        objective(views)
    objective.eval()
    objective(views)
    objective.after_step(identity)
    assert objective.dual == 2.0


def test_state_survives_a_checkpoint_and_half_precision(make_view, tmp_path):
    objective = PDU(dual=100.0, dual_warmup=1)
    for _ in range(2):
        objective({"forget": make_view(), "retain": make_view(1)})
        objective.after_step(identity)
    objective.to(torch.bfloat16)
    torch.save(objective.state_dict(), tmp_path / "state.pt")
    resumed = PDU(dual=100.0, dual_warmup=1)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.dual == objective.dual != 100.0
    for each in (objective, resumed):
        each({"forget": make_view(), "retain": make_view(1)})
        each.after_step(identity)
    assert resumed.dual == objective.dual
