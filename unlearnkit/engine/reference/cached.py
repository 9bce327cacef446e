"""A reference as values on disk, without a second model.

What is kept of a response token is the log-probability and, for objectives on whole distributions,
the state that goes into the output head: the distribution then follows exactly from a frozen copy
of the head. That frees the second model's memory. It saves little time, since a reference pass is a
small part of a step.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from unlearnkit.data.datamodule import datamodule_of
from unlearnkit.data.encoded import StreamData, data_fingerprint
from unlearnkit.data.pack import Batch, Layout, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.generation.dealing import Ranks
from unlearnkit.engine.nodes import on_every_node
from unlearnkit.engine.reference.kinds import AdapterOff, Reference
from unlearnkit.engine.reference.stored import StoredValues, keys_of
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.patterns import Pattern
from unlearnkit.engine.step.token_weights import reads_distributions
from unlearnkit.engine.step.views import TokenSource
from unlearnkit.engine.training.fsdp2 import is_sharded, let_go
from unlearnkit.errors import RecipeError
from unlearnkit.files import whole_file
from unlearnkit.functional.core import log_probabilities
from unlearnkit.models.base import BaseModel, as_base_model
from unlearnkit.models.fingerprint import (
    model_fingerprint,
    tokenizer_fingerprint,
)
from unlearnkit.models.modes import evaluating

ROWS_AT_ONCE = 8


class Cached(nn.Module):
    """Reference values read from disk, by stream and row.

    The values are those of the model in eval mode, so they are the same with any dropout in the
    policy.

    Args:
        head: The policy's head; a copy of it is kept unless it is frozen.
        layout: How rows are packed.
    """

    def __init__(self, head: Head, layout: Layout) -> None:
        super().__init__()
        trained = any(p.requires_grad for p in head.module.parameters())
        self.head_module = _whole_copy(head.module) if trained else None
        self._live_head = head
        self._layout: Layout = layout
        self.stored: StoredValues | None = None
        """Reads the values, in a loader's process; there once they are filled."""

    def fill(
        self,
        model: nn.Module,
        streams: Mapping[str, StreamData],
        whole: Collection[str],
        folder: Path,
        fingerprint: Mapping[str, str],
        *,
        write: bool = True,
        then: Callable[[Path], object] = lambda folder: None,
        ranks: Ranks | None = None,
    ) -> None:
        """Works the values out with the model as it is now, or takes those that are there.

        Args:
            model: The model at the start.
            streams: The streams whose reference values are read.
            whole: Those of them that need whole distributions.
            folder: Where the values are kept, one file per stream.
            fingerprint: Of model, tokenizer and dtype; the data's own is added.
            write: False on a process that reads what another one writes.
            then: Called with the folder when this process has written; waits for the others.
            ranks: The processes that a sharded model is spread over, of which each works out its
                share of the rows, in passes that all make together.

        Raises:
            RecipeError: If a stream's rows are drawn anew each time.
            UserError: If the disk is full or cannot be written to.
        """
        for name, data in streams.items():
            _refuse_drawn(name, data)
            path = folder / f"{name}.safetensors"
            key = {**fingerprint, "data": data_fingerprint(data), "whole": str(name in whole)}
            key["by"] = "response"  # by row in earlier files
            missing = write and not _holds(path, key)
            if missing if ranks is None else ranks.of_first(missing):
                tensors = self._compute(model, data, name in whole, ranks)
                if write:
                    _save(tensors, path, key)
        then(folder)
        self.stored = StoredValues(folder, streams)

    def forward(self, batch: Batch, layers: Collection[int] = ()) -> TokenSource:
        """The stored values of a batch's rows."""
        values = batch.stored
        if not values:  # packed by hand rather than by a loader
            assert self.stored is not None, "fill() comes first"
            values = self.stored(batch)
        device = batch.target.device
        return _CachedPass({key: value.to(device) for key, value in values.items()}, self._logits)

    def _logits(self, states: Tensor) -> Tensor:
        if self.head_module is None:
            return self._live_head.logits(states)
        return self._live_head.transform(self.head_module(states))

    @torch.no_grad()
    def _compute(
        self, model: nn.Module, data: StreamData, whole: bool, ranks: Ranks | None
    ) -> dict[str, Tensor]:
        """Values of all rows, on the first process; the same whatever the number of processes."""
        found: dict[str, list[Tensor]] = {}
        rank, size = (0, 1) if ranks is None else (ranks.rank, ranks.size)
        with evaluating(model):
            for turn in range(0, len(data), ROWS_AT_ONCE * size):
                first = turn + ROWS_AT_ONCE * rank
                rows = range(first, min(first + ROWS_AT_ONCE, len(data)))
                values = self._of_rows(model, data, rows, whole)
                for each in [values] if ranks is None else ranks.gathered_by_first(values):
                    for key, piece in each.items():
                        found.setdefault(key, []).append(piece)
        joined = {key: torch.cat(pieces) for key, pieces in found.items()}
        ends = joined.pop("lengths", torch.zeros(0, dtype=torch.long)).cumsum(0)
        return {**joined, "borders": torch.cat([ends.new_zeros(1), ends])}

    def _of_rows(
        self, model: nn.Module, data: StreamData, rows: range, whole: bool
    ) -> dict[str, Tensor]:
        """Values of some rows, or of none, in one pass."""
        device = next(model.parameters()).device
        flat = tuple(e for row in rows for e in data.at(row, 0))
        batch = pack({"rows": StreamBatch(flat, 1, 1)}, self._layout).to(device)
        forward = ForwardPass(model, self._live_head, batch)
        tokens = torch.arange(len(batch.target), device=device)
        found = {"logps": forward.logps(tokens).cpu()}
        if whole:
            found["states"] = forward.states(tokens).cpu()
        return {**found, "lengths": batch.lengths.cpu(), "keys": keys_of(flat)}


def own_reference(kind: str | None, policy: Any, head: Head, layout: Any) -> Reference:
    """A reference of a kind that keeps no copy of the model: ``cached`` or ``adapter_off``."""
    return Cached(head, layout) if kind == "cached" else AdapterOff(policy, head)


def fill_from(
    reference: Cached,
    trainer: L.Trainer,
    model: Any,
    base: str | BaseModel,
    objectives: Iterable[Any],
) -> None:
    """Fills a reference in a trainer's folder, written by its first process.

    A collective call where the model is sharded.

    Args:
        reference: The reference.
        trainer: Its data module has the streams.
        model: The model at the start.
        base: Where it was loaded from.
        objectives: What is trained; the streams of those that read the reference are filled.
    """
    # Lightning does it when the fit begins, and what is trained is of that type from the start.
    trainer.precision_plugin.convert_module(model)
    data = datamodule_of(trainer)
    readers = [objective for objective in objectives if "reference" in objective.needs]
    streams = sorted({stream for reader in readers for stream in reader.streams})

    def seen(folder: Path) -> None:
        trainer.strategy.barrier()
        for name in streams:
            on_every_node(folder / f"{name}.safetensors")

    reference.fill(
        model,
        {name: data.data[name] for name in streams},
        reads_distributions(readers),
        Path(trainer.log_dir or trainer.default_root_dir) / "reference",
        {
            "model": model_fingerprint(base),
            "tokenizer": tokenizer_fingerprint(data.tokenizer),
            "dtype": str(model.dtype),
            "quantization": str(as_base_model(base).quantization),
        },
        write=trainer.is_global_zero,
        then=seen,
        ranks=Ranks.joined() if is_sharded(trainer) else None,
    )
    let_go(model)


class _CachedPass:
    def __init__(self, values: Mapping[str, Tensor], head: Callable[[Tensor], Tensor]) -> None:
        self._values, self._head = values, head

    def states(self, tokens: Tensor) -> Tensor:
        return self._values["states"][tokens]

    def logits_of(self, states: Tensor) -> Tensor:
        return self._head(states)

    def logps(self, tokens: Tensor, pattern: Pattern | None = None) -> Tensor:
        return self._values["logps"][tokens]

    def logits(self, tokens: Tensor) -> Tensor:
        return self._head(self.states(tokens))

    def hidden(self, layer: int, tokens: Tensor) -> Tensor:
        raise LookupError("decoder block outputs are not cached: set model.reference: frozen")

    def forward_kl(
        self,
        reference: TokenSource,
        tokens: Tensor,
        ref_tokens: Tensor,
        pattern: Pattern | None = None,
    ) -> Tensor:
        raise LookupError("a reference has no reference of its own")

    def entropy(self, tokens: Tensor) -> Tensor:
        logps = log_probabilities(self.logits(tokens))
        return -(logps.exp() * logps).sum(-1)


def _whole_copy(module: nn.Module) -> nn.Module:
    """A frozen copy whose weights are whole on each process; a collective call of sharded ones.

    Chunks of response tokens go through it, of which the processes have different numbers, so it
    must need no communication.
    """
    copied = copy.deepcopy(module).requires_grad_(False)
    for part in copied.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if isinstance(parameter, DTensor):
                whole = nn.Parameter(parameter.full_tensor(), requires_grad=False)
                part.register_parameter(name, whole)
    return copied


def _refuse_drawn(name: str, data: StreamData) -> None:
    if data.redrawn:
        raise RecipeError(
            f"model.reference: 'cached' cannot serve the stream '{name}', whose rows are drawn "
            "anew each time",
            hint="Set model.reference: frozen (or adapter_off, with model.lora).",
        )


def _holds(path: Path, key: Mapping[str, str]) -> bool:
    if not path.is_file():
        return False
    with safe_open(path, framework="pt") as file:
        return file.metadata() == {"fingerprint": json.dumps(key, sort_keys=True)}


def _save(tensors: dict[str, Tensor], path: Path, key: Mapping[str, str]) -> None:
    with whole_file(path) as unfinished:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, unfinished, {"fingerprint": json.dumps(key, sort_keys=True)})
