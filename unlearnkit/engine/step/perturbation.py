"""Vectors that are added to outputs of decoder blocks, one a token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from unlearnkit.data.pack import Batch
from unlearnkit.errors import RecipeError


class Perturbation:
    """One vector for each token of a step's rows and each of some decoder blocks.

    Tokens of equal prompts have one vector, as do those of equal rows, in whichever layout and in
    how many parts the rows are run. The vectors are zero until they are changed.

    Args:
        blocks: Numbers of the decoder blocks, from 0, to whose outputs the vectors are added.
        batches: The parts of the step.
    """

    def __init__(self, blocks: Sequence[int], batches: Sequence[Batch]) -> None:
        self.blocks = tuple(blocks)
        self._first: dict[tuple[tuple[int, ...], ...], int] = {}
        self._count = 1  # number 0 is that of padding
        for batch in batches:
            for example in batch.examples:
                self._take((example.prompt_ids,), len(example.prompt_ids))
                row = (example.prompt_ids, example.response_ids)
                self._take(row, len(example.response_ids))
        self._vectors: dict[int, Tensor] = {}
        self._numbers: dict[int, tuple[Batch, Tensor]] = {}

    @property
    def vectors(self) -> list[Tensor]:
        """``[M, H]`` for each block, float32; of those that have run."""
        return [self._vectors[block] for block in self.blocks if block in self._vectors]

    def numbers(self, batch: Batch) -> Tensor:
        """``[R * T]`` which vector belongs to each input of a batch; 0 is padding.

        Args:
            batch: Rows of the step, or some of them.

        Example:
            >>> from unlearnkit.data.pack import Example, StreamBatch, pack
            >>> rows = Example((5, 6), (7, 8), 0, "a:1"), Example((5, 6), (4, 3, 2), 1, "a:2")
            >>> batches = [pack({"a": StreamBatch(rows, 5, 2)}, layout)
            ...            for layout in ("packed", "rows")]
            >>> [Perturbation([0], [each]).numbers(each).tolist() for each in batches]
            [[1, 2, 3, 5, 6], [1, 2, 3, 0, 1, 2, 5, 6]]
        """
        kept = self._numbers.get(id(batch))
        if kept is None:
            kept = self._numbers[id(batch)] = batch, self._found(batch)
        return kept[1]

    @contextmanager
    def added(self, blocks: nn.ModuleList, batch: Batch) -> Iterator[None]:
        """Within the context the vectors are added as the model runs the batch.

        Args:
            blocks: All decoder blocks of the model.
            batch: What it runs.

        Raises:
            RecipeError: If a block's output is not one state a token.
        """
        with ExitStack() as hooks:
            for block in self.blocks:
                handle = blocks[block].register_forward_hook(self._hook(block, batch))
                hooks.callback(handle.remove)
            yield

    def _take(self, key: tuple[tuple[int, ...], ...], length: int) -> None:
        if key not in self._first:
            self._first[key] = self._count
            self._count += length

    def _found(self, batch: Batch) -> Tensor:
        # Read on the host are the examples alone: it does not wait for the device.
        prompts: list[tuple[int, int, int]] = []  # first response token, inputs back, number
        responses: list[tuple[int, int]] = []  # response token that tells the place, number
        token, skipped = 0, 0 if batch.keep_last else 1
        for example in batch.examples:
            length, end = len(example.prompt_ids), token + len(example.response_ids)
            first = self._first[(example.prompt_ids,)]
            prompts += [(token, length - 1 - each, first + each) for each in range(length)]
            first = self._first[example.prompt_ids, example.response_ids]
            responses += zip(range(token + skipped, end), range(first, first + end), strict=False)
            token = end
        device = batch.source.device
        found = torch.zeros(batch.input_ids.numel(), dtype=torch.long, device=device)
        if prompts:
            token, back, numbers = torch.tensor(prompts).T.to(device, non_blocking=True)
            found[batch.source[token] - back] = numbers
        if responses:
            token, numbers = torch.tensor(responses).T.to(device, non_blocking=True)
            found[batch.place[token]] = numbers
        return found

    def _hook(self, block: int, batch: Batch) -> Callable[..., object]:
        def add(module: nn.Module, _arguments: object, output: object) -> object:
            states = output[0] if isinstance(output, tuple) else output
            assert isinstance(states, Tensor)
            numbers = self.numbers(batch)
            if states.numel() != len(numbers) * states.shape[-1]:
                raise RecipeError(
                    f"model.robust: {type(module).__name__} gives {tuple(states.shape)} for "
                    f"{len(numbers)} tokens, which is not one state a token",
                    hint="Take a robust method that does not perturb states, such as sam.",
                )
            if block not in self._vectors:
                shape = self._count, states.shape[-1]
                self._vectors[block] = torch.zeros(shape, device=states.device, requires_grad=True)
            more = self._vectors[block][numbers].view(states.shape).to(states.dtype)
            return (states + more, *output[1:]) if isinstance(output, tuple) else states + more

        return add
