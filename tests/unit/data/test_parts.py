"""The batches of a micro-batch are one block of memory."""

from __future__ import annotations

import pickle

import pytest
import torch

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, pack
from unlearnkit.data.packer import Packer
from unlearnkit.data.parts import Parts, parts_of
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.errors import RecipeError

FORGET = tuple(Example((5, 6), tuple(range(n)), row, "f") for row, n in enumerate((2, 3, 1)))
RETAIN = (Example((7,), (8, 9, 9), 0, "r"),)
ROWS = {"forget": StreamBatch(FORGET, 6.0, 3.0), "retain": StreamBatch(RETAIN, 3.0, 1.0)}


def _tensors(batch: Batch) -> list[torch.Tensor]:
    """Of the batch, its reference, their plans and what is stored of them."""
    found: list[torch.Tensor] = []
    batch.mapped(lambda t: found.append(t) or t)
    return found


def _stored(batch: Batch) -> dict[str, torch.Tensor]:
    return {"logps": torch.arange(len(batch.target)) / 3}


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_a_micro_batch_goes_to_a_device_by_one_copy(layout) -> None:
    packer = Packer(layout, frozenset(ROWS), frozenset({"retain"}), max_tokens=4, stored=_stored)
    parts, plain = packer.collate(ROWS), packer(ROWS)
    assert len(parts) == 2
    moved = parts.to("meta")
    of = [t for each in moved.batches for t in _tensors(each)]
    assert all(t.device.type == "meta" for t in of)
    assert len({t.untyped_storage()._cdata for t in of}) == 1
    for one, other in zip(parts.batches, plain, strict=True):
        assert one.examples == other.examples
        for mine, theirs in zip(_tensors(one), _tensors(other), strict=True):
            assert torch.equal(mine, theirs)
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)


def test_what_is_there_already_is_not_copied() -> None:
    parts = Packer("packed", frozenset(ROWS)).collate(ROWS)
    assert parts.to(torch.device("cpu")) is parts


def test_a_process_may_hand_them_on() -> None:
    parts = Packer("packed", frozenset(ROWS)).collate(ROWS)
    other: Parts = pickle.loads(pickle.dumps(parts))
    pairs = zip(_tensors(parts[0]), _tensors(other.to("cpu")[0]), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


def test_other_batches_are_refused_with_what_makes_one():
    with pytest.raises(RecipeError, match=r"gave a dict, expected Parts.*(.|\n)*packer\.collate"):
        parts_of({"input_ids": torch.tensor([[1]])})
    parts = Parts([pack({})])
    assert parts_of(parts) is parts
