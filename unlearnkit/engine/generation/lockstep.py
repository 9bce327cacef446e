"""Keeps processes in step whose passes gather a sharded model's weights."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

_NONE = 1 << 30


def is_apart(model: nn.Module) -> bool:
    """Whether a pass of the model gathers weights from other processes."""
    return any(isinstance(each, FSDPModule) for each in model.modules())


class Lockstep:
    """Has every process run as many passes of each sharded model as any of them needs.

    A pass of a sharded model is a collective call. Before each, the processes tell each other which
    model they are about to run; those that need another one, or none, run a pass of one token
    with it. A process that leaves the block goes on so until all of them have left it.

    Args:
        models: The sharded models.
        group: The processes; of the backend gloo.
    """

    def __init__(self, models: Sequence[nn.Module], group: dist.ProcessGroup) -> None:
        self._models = [_root(each) for each in models]
        self._group, self._handles = group, []
        self._idle = False

    def __enter__(self) -> None:
        for number, model in enumerate(self._models):
            # Before FSDP's own hook, which gathers.
            self._handles.append(
                model.register_forward_pre_hook(self._before(number), prepend=True)
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            self._meet(_NONE)
        for handle in self._handles:
            handle.remove()

    def _before(self, number: int) -> Any:
        def meet(module: nn.Module, given: tuple[Any, ...]) -> None:
            if not self._idle:
                self._meet(number)

        return meet

    def _meet(self, wanted: int) -> None:
        """Serves the others until this process's pass is the next, or all are done."""
        while True:
            asked = torch.tensor(wanted)
            dist.all_reduce(asked, dist.ReduceOp.MIN, group=self._group)
            if int(asked) == wanted:
                return
            self._idle = True
            try:
                _small_pass(self._models[int(asked)])
            finally:
                self._idle = False


@torch.no_grad()
def _small_pass(model: Any) -> None:
    device = next(model.parameters()).device
    token: Tensor = torch.zeros(1, 1, dtype=torch.long, device=device)
    model(input_ids=token, use_cache=False)


def _root(model: Any) -> nn.Module:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
