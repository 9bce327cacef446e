"""Which rows each step holds, and what finding them costs."""

import torch

from unlearnkit.data import plan as planning
from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.plan import StepPlan, StreamPlan, permutation
from unlearnkit.data.sampler import StepDataset
from unlearnkit.errors import Place

STREAMS = {
    "forget": StreamPlan(7, 2),
    "retain": StreamPlan(5, 3),
    "mismatch": StreamPlan(7, 2, follows="forget"),
}
PLAN = StepPlan(STREAMS, seed=3, world=2, accumulate=3)


def test_the_rows_of_a_seed_are_the_same_for_ever():
    """Written down from the first version: a run of then can be repeated."""
    forget = [[tuple(d) for d in PLAN.draws("forget", s, r)] for s in range(3) for r in (0, 1)]
    assert forget == [
        [(3, 0), (5, 2)], [(4, 1), (2, 3)],
        [(1, 4), (6, 6)], [(0, 5)],
        [(2, 7), (4, 9)], [(1, 8), (0, 10)],
    ]  # fmt: skip
    retain = [[d.row for d in PLAN.draws("retain", s, r)] for s in range(4) for r in (0, 1)]
    assert retain == [
        [4, 1, 2], [3, 0, 1], [2, 0, 3], [4, 3, 4], [2, 0, 1], [1, 0, 4], [3, 4, 0], [2, 1, 3],
    ]  # fmt: skip
    assert PLAN.draws("mismatch", 1, 0) == PLAN.draws("forget", 1, 0)


def test_an_order_is_that_of_torch():
    drawn = torch.randperm(1000, generator=torch.Generator().manual_seed(5))
    assert permutation(5, 1000).tolist() == drawn.tolist()


def test_a_window_has_the_draws_of_its_micro_batches_on_all_ranks():
    for plan in (PLAN, StepPlan(STREAMS, seed=1, world=3, accumulate=4, shuffle=False)):
        for stream in STREAMS:
            for step in range(9):
                found = plan.draws_of_window(stream, step)
                each = [
                    draw
                    for micro in plan.window(step)
                    for rank in range(plan.world)
                    for draw in plan.draws(stream, micro, rank)
                ]
                by_occurrence = sorted((draw.occurrence, draw.row) for draw in each)
                assert by_occurrence == list(enumerate(found.rows.tolist(), start=found.first))


def test_the_lengths_of_a_step_are_counted_once(letters):
    class Counted(EncodedRows):
        draws = 0

        def count(self, rows, first):
            self.draws += len(rows)
            return super().count(rows, first)

    data = Counted("forget", "forget.jsonl")
    for row in range(7):
        data.append([([4], [5] * (row + 1))], Place(row + 1), str(row))
    steps = StepDataset(PLAN, "forget", data, rank=1)
    shares = [(steps[step].token_share, steps[step].sequence_share) for step in range(4)]
    # Two micro-batches an epoch, fewer than the window: each epoch is one optimiser step.
    assert shares == [(28 / 6, 7 / 6)] * 4
    assert data.draws == 2 * 7


def test_orders_of_a_large_set_are_not_kept_without_end():
    planning._long_order.cache_clear()
    rows = 2**14 + 1
    plan = StepPlan({"forget": StreamPlan(rows, rows)}, seed=0)
    passes = {tuple(plan.draws_of_window("forget", step).rows[:5]) for step in range(20)}
    assert len(passes) == 20
    assert planning._long_order.cache_info().currsize <= 8
    assert permutation(0, rows).nbytes == 4 * rows
