from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from unlearnkit.edits.output import write_weights
from unlearnkit.edits.weights import Spec
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_inside


def test_a_copy_of_itself_is_refused(tmp_path) -> None:
    refuse_inside(tmp_path / "out", tmp_path / "model")
    with pytest.raises(UserError, match="which is copied"):
        refuse_inside(tmp_path / "model" / "out", tmp_path / "model")


def test_weights_are_split_into_files_with_an_index(tmp_path) -> None:
    weights = {name: torch.full((4,), value) for name, value in (("a", 1.0), ("b", 2.0))}
    specs = {name: Spec((4,), torch.float32) for name in weights}
    write_weights(tmp_path, specs, weights.__getitem__, shard_bytes=16)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    found = {n: load_file(tmp_path / file)[n] for n, file in index["weight_map"].items()}
    assert all(torch.equal(found[name], weights[name]) for name in weights)
