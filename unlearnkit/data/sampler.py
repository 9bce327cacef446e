"""The loader of one stream: step numbers in, rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from unlearnkit.data.example import Example
from unlearnkit.data.plan import StepPlan

if TYPE_CHECKING:
    from unlearnkit.data.streams import StreamData


class StreamBatch(NamedTuple):
    """The rows of one stream in one micro-batch of one rank.

    ``token_share`` and ``sequence_share`` are the response tokens and the sequences of the whole
    optimiser step, over all its micro-batches and ranks, divided by their number. A sum divided
    by its share, averaged over the parts as Lightning does, is the mean over the step.
    """

    examples: tuple[Example, ...]
    token_share: float
    sequence_share: float


class StepDataset(Dataset[StreamBatch]):
    """Maps a step number to the rows of one stream on one rank; holds no state."""

    def __init__(self, plan: StepPlan, stream: str, data: StreamData, rank: int) -> None:
        self.plan, self.stream, self.data, self.rank = plan, stream, data, rank

    def __len__(self) -> int:
        """Steps of one epoch; step numbers go on beyond it."""
        return self.plan.steps_per_epoch

    def __getitem__(self, step: int) -> StreamBatch:
        draws = self.plan.draws(self.stream, step, self.rank)
        examples = tuple(e for draw in draws for e in self.data.at(*draw))
        sequences = tokens = 0
        for micro in self.plan.window(step):
            for rank in range(self.plan.world):
                for draw in self.plan.draws(self.stream, micro, rank):
                    more_sequences, more_tokens = self.data.lengths(*draw)
                    sequences += more_sequences
                    tokens += more_tokens
        parts = self.plan.world * self.plan.accumulate
        return StreamBatch(examples, tokens / parts, sequences / parts)


class StepSampler(DistributedSampler[int]):
    """The step numbers of the current epoch.

    It is a distributed sampler to Lightning (each rank's rows follow from the step number), so
    Lightning tells it the epoch and puts no other sampler in its place.

    Args:
        dataset: The stream's rows by step.
        resume_at: Called at the start of an epoch; micro-batches of it that are already done.
    """

    def __init__(self, dataset: StepDataset, resume_at: Callable[[], int]) -> None:
        super().__init__(dataset, num_replicas=dataset.plan.world, rank=dataset.rank, shuffle=False)
        self.plan = dataset.plan
        self._resume_at = resume_at

    def __iter__(self) -> Iterator[int]:
        length = len(self)
        start = self.epoch * length
        return iter(range(start + self._resume_at(), start + length))

    def __len__(self) -> int:
        return self.plan.steps_per_epoch


StreamBatches = Mapping[str, StreamBatch]
"""One micro-batch as the zipped loaders give it: the rows of each stream."""
