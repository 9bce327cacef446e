"""Values on disk are read by stream and row, in any process."""

from __future__ import annotations

import pickle

import torch
from safetensors.torch import save_file

from unlearnkit.data.example import Example
from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.reference.stored import StoredValues


def batch_of(name: str) -> StreamBatch:
    return StreamBatch((Example((5,), (6, 7), 0, name),), 2, 1)


def test_rows_of_each_stream_stand_at_their_tokens(tmp_path) -> None:
    borders = torch.tensor([0, 2, 3])
    save_file(
        {"logps": torch.tensor([0.1, 0.2, 0.3]), "borders": borders}, tmp_path / "a.safetensors"
    )
    states = torch.arange(6.0).view(3, 2)
    both = {"logps": torch.tensor([1.0, 2.0, 3.0]), "states": states, "borders": borders}
    save_file(both, tmp_path / "b.safetensors")
    batch = pack(
        {
            "a": StreamBatch((Example((5,), (6,), 1, "a"), Example((5,), (6, 7), 0, "a")), 3, 2),
            "b": StreamBatch((Example((5,), (8, 8), 0, "b"),), 2, 1),
        }
    )
    values = StoredValues(tmp_path, ["a", "b"])
    assert torch.equal(values(batch)["logps"], torch.tensor([0.3, 0.1, 0.2, 1.0, 2.0]))
    none = pack({"a": batch_of("a"), "b": StreamBatch((), 2, 1)})
    assert torch.equal(values(none)["states"], torch.zeros(2, 2))
    found = pickle.loads(pickle.dumps(values))(batch)
    assert torch.equal(found["states"], torch.cat([torch.zeros(3, 2), states[:2]]))
