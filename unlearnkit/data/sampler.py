"""Data loader of training steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from unlearnkit.data.example import Example
from unlearnkit.data.plan import StepPlan

if TYPE_CHECKING:
    from unlearnkit.data.streams.base import StreamData


class StreamBatch(NamedTuple):
    """The rows of one stream in one micro-batch of one rank.

    ``token_share`` and ``sequence_share`` are the response tokens and the sequences of the whole
    optimiser step, over all its micro-batches and ranks, divided by their number. A sum divided
    by its share, averaged over the parts as Lightning does, is the mean over the step.
    """

    examples: tuple[Example, ...]
    token_share: float
    sequence_share: float


StreamBatches = Mapping[str, StreamBatch]
"""The rows of each stream in one micro-batch of one rank."""


class StepDataset(Dataset[StreamBatch]):
    """Maps a step number to the rows of one stream on one rank."""

    def __init__(self, plan: StepPlan, stream: str, data: StreamData, rank: int) -> None:
        self.plan, self.stream, self.data, self.rank = plan, stream, data, rank
        # The micro-batches of an optimiser step come one after the other, and share its counts.
        self._counted: tuple[range, tuple[int, int]] | None = None

    def __len__(self) -> int:
        """Steps of one epoch; step numbers continue beyond it."""
        return self.plan.steps_per_epoch

    def __getitem__(self, step: int) -> StreamBatch:
        draws = self.plan.draws(self.stream, step, self.rank)
        examples = tuple(e for draw in draws for e in self.data.at(*draw))
        sequences, tokens = self._of_whole_step(step)
        parts = self.plan.world * self.plan.accumulate
        return StreamBatch(examples, tokens / parts, sequences / parts)

    def _of_whole_step(self, step: int) -> tuple[int, int]:
        """Sequences and response tokens of the optimiser step, over all ranks."""
        window = self.plan.window(step)
        if self._counted is None or self._counted[0] != window:
            draws = self.plan.draws_of_window(self.stream, step)
            self._counted = window, self.data.count(*draws)
        return self._counted[1]


class StepRows(Dataset[StreamBatches]):
    """Maps a step number to the rows of all streams on one rank.

    Args:
        parts: The streams by name, of one plan and rank.
    """

    def __init__(self, parts: Mapping[str, StepDataset]) -> None:
        self.parts = parts
        first = next(iter(parts.values()))
        self.plan, self.rank = first.plan, first.rank

    def __len__(self) -> int:
        """Steps of one epoch."""
        return self.plan.steps_per_epoch

    def __getitem__(self, step: int) -> StreamBatches:
        return {name: part[step] for name, part in self.parts.items()}


class StepSampler(DistributedSampler[int]):
    """The step numbers that are left of the present epoch.

    It is a distributed sampler to Lightning (each rank's rows follow from the step number), so
    Lightning puts no other sampler in its place.

    Args:
        dataset: The rows by step.
        done: Called when an epoch begins or is resumed: micro-batches done in all epochs so far.
    """

    def __init__(self, dataset: StepRows, done: Callable[[], int]) -> None:
        super().__init__(dataset, num_replicas=dataset.plan.world, rank=dataset.rank, shuffle=False)
        self.plan = dataset.plan
        self._done = done

    def __iter__(self) -> Iterator[int]:
        done, length = self._done(), len(self)
        return iter(range(done, done - done % length + length))

    def __len__(self) -> int:
        return self.plan.steps_per_epoch


class StepLoader(DataLoader[StreamBatches]):
    """A loader that Lightning may resume amid an epoch: its sampler knows where to continue.

    It draws nothing from the process's random state, which would else depend on the number of
    loaders and on where an epoch was entered.

    Args:
        sampler: The steps.
        collate: Makes batches of the rows, in the loader's process; without one they stay rows.
        **arguments: Of a DataLoader.
    """

    def __init__(
        self,
        sampler: StepSampler,
        collate: Callable[[StreamBatches], Any] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(
            sampler.dataset,  # pyright: ignore[reportArgumentType]
            batch_size=None,
            sampler=sampler,
            generator=torch.Generator(),
            collate_fn=collate or _as_it_is,  # pyright: ignore[reportArgumentType]
            **arguments,
        )

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the trainer's progress is all the state."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to be done."""


def _as_it_is(batch: StreamBatches) -> StreamBatches:
    return batch
