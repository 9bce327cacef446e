"""Views of a batch of ``input_ids`` and ``labels``, for any training loop."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.views import StreamView, TokenSource
from unlearnkit.errors import UserError
from unlearnkit.models.modes import evaluating
from unlearnkit.models.wrapped import unwrapped

IGNORED = -100
"""Label of a token that no loss reads, as in transformers."""

_heads: WeakKeyDictionary[nn.Module, Head] = WeakKeyDictionary()


def views_from_batch(
    model: nn.Module,
    input_ids: Tensor,
    labels: Tensor,
    attention_mask: Tensor | None = None,
    *,
    streams: str | Sequence[str] = "forget",
    rows: Sequence[int] | None = None,
    reference: nn.Module | Literal["adapter_off"] | None = None,
    layers: Collection[int] = (),
    token_share: Mapping[str, float] | None = None,
    sequence_share: Mapping[str, float] | None = None,
) -> dict[str, StreamView]:
    """Runs the model over a padded batch and gives what objectives read of it.

    Any objective then works in a Trainer of Hugging Face or in a plain loop. Padding may stand on
    either side, and has no influence: rows are moved to the left before the forward pass. One call
    runs the model once, and the reference once; the reference is in eval mode for that.

    Args:
        model: A causal language model of transformers, of PEFT, or one of them wrapped by
            ``DistributedDataParallel`` or ``torch.compile``.
        input_ids: ``[R, T]`` token ids.
        labels: ``[R, T]`` as for transformers: the token ids of responses, -100 for prompts and
            padding, not shifted. A label of a row's first token is not read, since nothing
            predicts it.
        attention_mask: ``[R, T]``, 0 for padding; by default there is none.
        streams: The stream of all rows, or of each row.
        rows: Number of each row in its stream, by which objectives pair two streams; by default
            they are counted in each stream, from 0.
        reference: The model as it was at the start, for objectives that need it: a model, or
            ``adapter_off`` for the model itself with its adapter switched off.
        layers: Decoder blocks whose outputs are wanted, such as ``objective.layers``.
        token_share: Response tokens of each stream in the whole optimiser step, divided by the
            number of its micro-batches; by default those of this batch.
        sequence_share: The same of sequences.

    Returns:
        A view of each stream.

    Raises:
        UserError: If shapes do not match, a row has no label, a label stands on padding, or
            padding stands between tokens. All bad rows are named.

    Example:
        >>> from unlearnkit.models.load import load_model
        >>> from unlearnkit.objectives import GradientAscent
        >>> ids = torch.tensor([[5, 6, 7, 8], [5, 9, 0, 0]])
        >>> labels = torch.tensor([[-100, -100, 7, 8], [-100, 9, -100, -100]])
        >>> views = views_from_batch(load_model("tiny"), ids, labels, (ids > 0).long())
        >>> views["forget"].target.tolist(), views["forget"].sequence.tolist()
        ([7, 8, 9], [0, 0, 1])
        >>> loss = GradientAscent()(views)
        >>> loss.requires_grad
        True
    """
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    _refuse_misfits(model, input_ids, labels, attention_mask, streams, rows)
    number = input_ids.shape[0]
    found = _rows(input_ids.tolist(), labels.tolist(), attention_mask.tolist())
    of_row = [streams] * number if isinstance(streams, str) else list(streams)
    members = {name: [i for i in range(number) if of_row[i] == name] for name in of_row}
    batch, tokens = _packed([found[i] for own in members.values() for i in own], layers)
    batch = batch.to(input_ids.device)
    policy = ForwardPass(model, _head(model), batch, layers=layers)
    against = None if reference is None else _reference(model, reference, batch, layers)
    views: dict[str, StreamView] = {}
    first = 0
    for name, own in members.items():
        part = tokens[first : first + len(own)]
        places = torch.tensor([t for each in part for t in each], device=input_ids.device)
        sequence = [s for s, each in enumerate(part) for _ in each]
        views[name] = StreamView(
            policy,
            against,
            tokens=places,
            target=batch.target[places],
            sequence=torch.tensor(sequence, device=input_ids.device),
            rows=range(len(own)) if rows is None else [rows[i] for i in own],
            token_share=(token_share or {}).get(name),
            sequence_share=(sequence_share or {}).get(name),
        )
        first += len(own)
    return views


class _Row(NamedTuple):
    """A row without its padding, up to its last label."""

    ids: list[int]
    labels: list[int]
    """From the first one that is read on; -100 between labels."""


def _rows(ids: list[list[int]], labels: list[list[int]], masks: list[list[int]]) -> list[_Row]:
    """Rows without padding.

    Raises:
        UserError: With all bad rows.
    """
    faults: list[str] = []
    rows: list[_Row] = []
    for number, (row, wanted, mask) in enumerate(zip(ids, labels, masks, strict=True)):
        real = [place for place, there in enumerate(mask) if there]
        fault = None
        if real and real[-1] - real[0] + 1 != len(real):
            fault = "attention_mask has zeros between tokens, expected them at its ends"
        elif any(not m and label != IGNORED for m, label in zip(mask, wanted, strict=True)):
            fault = "labels has a token where attention_mask is 0, expected -100"
        own = [wanted[place] for place in real]
        read = [place for place, label in enumerate(own) if place and label != IGNORED]
        if fault is None and not read:
            fault = "labels has no token to be predicted, expected those of a response"
        if fault:
            faults.append(f"row {number}: {fault}")
        else:
            end = read[-1] + 1
            rows.append(_Row([row[place] for place in real[:end]], own[read[0] : end]))
    if faults:
        raise UserError("views_from_batch: " + "; ".join(faults))
    return rows


def _packed(rows: list[_Row], layers: Collection[int]) -> tuple[Batch, list[list[int]]]:
    """The batch, whose targets are the labels, and the numbers of each row's labelled tokens."""
    examples = []
    for index, row in enumerate(rows):
        start = len(row.ids) - len(row.labels)
        examples.append(Example(tuple(row.ids[:start]), tuple(row.ids[start:]), index, ""))
    batch = pack({"": StreamBatch(tuple(examples), 1, 1)}, "rows", keep_last=bool(layers))
    starts = accumulate((len(row.labels) for row in rows), initial=0)
    tokens = [
        [start + place for place, label in enumerate(row.labels) if label != IGNORED]
        for start, row in zip(starts, rows, strict=False)
    ]
    target = torch.tensor([label for row in rows for label in row.labels])
    return replace(batch, target=target), tokens


def _reference(
    model: nn.Module, reference: nn.Module | str, batch: Batch, layers: Collection[int]
) -> TokenSource:
    """The reference's pass over the batch, in eval mode and without gradient."""
    if isinstance(reference, nn.Module):
        with torch.no_grad(), evaluating(reference):
            return ForwardPass(reference, _head(reference), batch, layers=layers)
    adapted = unwrapped(model)
    if reference != "adapter_off" or not hasattr(adapted, "disable_adapter"):
        expected = "a model, or 'adapter_off' with a model of PEFT"
        raise UserError(f"views_from_batch: reference: expected {expected}, found {reference!r}")
    with torch.no_grad(), evaluating(adapted), adapted.disable_adapter():
        return ForwardPass(adapted, _head(adapted).without_adapter(), batch, layers=layers)


def _head(model: nn.Module) -> Head:
    """The model's head; what a head does to logits is found out once for each model."""
    bare = unwrapped(model)
    known = _heads.get(bare)
    if known is None or known.module is not bare.get_output_embeddings():
        known = _heads[bare] = Head(bare)
    return known


def _refuse_misfits(
    model: nn.Module,
    input_ids: Tensor,
    labels: Tensor,
    attention_mask: Tensor,
    streams: str | Sequence[str],
    rows: Sequence[int] | None,
) -> None:
    shape = tuple(input_ids.shape)
    faults = [] if len(shape) == 2 else [f"input_ids: expected [R, T], found {list(shape)}"]
    if not hasattr(unwrapped(model), "get_output_embeddings"):
        kind = type(model).__name__
        faults.append(f"model: expected a causal language model of transformers, found {kind}")
    for name, each in (("labels", labels), ("attention_mask", attention_mask)):
        if tuple(each.shape) != shape:
            faults.append(f"{name}: expected the shape {list(shape)}, found {list(each.shape)}")
    for name, given in (("streams", streams), ("rows", rows)):
        if given is not None and not isinstance(given, str) and len(given) != shape[0]:
            faults.append(f"{name}: expected {shape[0]}, one a row, found {len(given)}")
    if faults:
        raise UserError("views_from_batch: " + "; ".join(faults))
