from __future__ import annotations

from rows import UNEQUAL
from short_fits import qa, stub_data

from unlearnkit.data.sampler import StepDataset, StepLoader, StepSampler


def test_rows_of_a_step_and_their_share_of_the_whole_step(written) -> None:
    folder = written(**UNEQUAL)
    streams = {name: qa(folder / f"{name}.jsonl") for name in UNEQUAL}
    data = stub_data(streams, batch_size=2, shuffle=False)
    data.check()
    plan = data.make_plan(world=2, accumulate=1)
    ranks = [StepDataset(plan, "retain", data.data["retain"], rank) for rank in (0, 1)]
    rows = [rank[0] for rank in ranks]
    drawn = [example for batch in rows for example in batch.examples]
    assert len({example.row for example in drawn}) == 4
    tokens = sum(len(example.response_ids) for example in drawn)
    # Each of two parts has half of the step's tokens and sequences as its share, whatever it holds.
    assert [(batch.token_share, batch.sequence_share) for batch in rows] == [(tokens / 2, 2)] * 2


def test_a_loader_goes_on_where_the_epoch_stopped(written) -> None:
    data = stub_data({"forget": qa(written(**UNEQUAL) / "forget.jsonl")}, batch_size=1)
    data.check()
    dataset = StepDataset(data.make_plan(), "forget", data.data["forget"], 0)
    assert len(dataset) == 4
    assert list(StepSampler(dataset, lambda: 1)) == [1, 2, 3]
    assert list(StepSampler(dataset, lambda: 6)) == [6, 7]  # of the second epoch
    loader = StepLoader(StepSampler(dataset, lambda: 2))
    assert [batch.examples for batch in loader] == [dataset[2].examples, dataset[3].examples]
