"""Values on disk are read by stream and response, in any process."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unlearnkit.data.example import Example
from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.reference.stored import StoredValues, keys_of


def example(*response: int, name: str = "a") -> Example:
    return Example((5,), response, 0, name)


def batch_of(name: str) -> StreamBatch:
    return StreamBatch((example(6, 7, name=name),), 2, 1)


def write(path: Path, values: dict[str, torch.Tensor], *responses: tuple[int, ...]) -> None:
    lengths = torch.tensor([0, *(len(each) for each in responses)])
    keys = keys_of(example(*each) for each in responses)
    save_file({**values, "borders": lengths.cumsum(0), "keys": keys}, path)


def test_responses_of_each_stream_stand_at_their_tokens(tmp_path) -> None:
    write(tmp_path / "a.safetensors", {"logps": torch.tensor([0.1, 0.2, 0.3])}, (6, 7), (6,))
    states = torch.arange(6.0).view(3, 2)
    both = {"logps": torch.tensor([1.0, 2.0, 3.0]), "states": states}
    write(tmp_path / "b.safetensors", both, (8, 8), (6,))
    batch = pack(
        {
            "a": StreamBatch((example(6), example(6, 7)), 3, 2),
            "b": StreamBatch((example(8, 8, name="b"),), 2, 1),
        }
    )
    values = StoredValues(tmp_path, ["a", "b"])
    assert torch.equal(values(batch)["logps"], torch.tensor([0.3, 0.1, 0.2, 1.0, 2.0]))
    none = pack({"a": batch_of("a"), "b": StreamBatch((), 2, 1)})
    assert torch.equal(values(none)["states"], torch.zeros(2, 2))
    found = pickle.loads(pickle.dumps(values))(batch)
    assert torch.equal(found["states"], torch.cat([torch.zeros(3, 2), states[:2]]))


def test_a_response_without_values_is_an_error(tmp_path) -> None:
    write(tmp_path / "a.safetensors", {"logps": torch.tensor([0.1])}, (6,))
    with pytest.raises(LookupError, match="no stored reference values"):
        StoredValues(tmp_path, ["a"])(pack({"a": batch_of("a")}))


def test_prompts_and_responses_are_told_apart() -> None:
    """Equal ids in a row, cut elsewhere, are other responses."""
    one, other = Example((5,), (6, 7), 0, "a"), Example((5, 6), (7,), 0, "a")
    assert len(keys_of([one, other, one]).unique()) == 2
