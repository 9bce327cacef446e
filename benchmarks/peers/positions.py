"""Views of padded rows at positions that a run never reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch

from benchmarks.variants import padded
from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, StreamSlice
from unlearnkit.engine.step.forward import ForwardPass, stream_views
from unlearnkit.engine.step.views import StreamView
from unlearnkit.module import UnlearningModule

Positions = Literal["every", "shifted", "holding"]
POSITIONS: Mapping[Positions, str] = {
    "every": "all positions of the padded rows",
    "shifted": "all but each row's last; the label -100 is read as a token, the hundredth from "
    "the vocabulary's end",
    "holding": "the positions that hold response tokens, in place of those that predict them",
}


def batch_at(name: str, at: Positions, examples: Sequence[Example], vocabulary: int) -> Batch:
    """The rows of a stream, padded, with other positions in place of the responses'.

    Args:
        name: The stream.
        at: Which positions of ``[S, T]`` padded rows are read.
        examples: ``S`` rows.
        vocabulary: ``V``, from whose end a label of -100 counts.
    """
    ids, mask, labels = padded(examples)
    size, width = ids.shape
    seen, target = torch.ones_like(ids, dtype=torch.bool), ids
    if at == "holding":
        seen = labels != -100
    elif at == "shifted":
        seen[:, -1] = False
        target = labels.where(labels != -100, vocabulary - 100).roll(-1, 1)
    place = seen.flatten().nonzero()[:, 0]
    counts = seen.sum(1)
    rows = tuple(example.row for example in examples)
    whole = slice(0, len(place))
    return Batch(
        input_ids=ids,
        position_ids=torch.arange(width).expand(size, width),
        attention_mask=mask,
        attention=None,
        source=place,
        place=place,
        target=target[seen],
        sequence=torch.arange(size).repeat_interleave(counts),
        lengths=counts,
        streams={name: StreamSlice(whole, rows, tuple(counts.tolist()), len(place), size)},
    )


def views_at(
    module: UnlearningModule, name: str, at: Positions, examples: Sequence[Example]
) -> Mapping[str, StreamView]:
    """A view of one stream at other positions, through the module's model and reference."""
    batch = batch_at(name, at, examples, module.policy.config.vocab_size)
    policy = ForwardPass(module.policy, module.head, batch, layers=module.layers)
    reference = None
    if module.reference is not None and name in module.streams_referred:
        reference = module.reference.forward(batch, module.layers)
    return stream_views(batch, policy, reference)
