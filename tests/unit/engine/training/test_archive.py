from __future__ import annotations

import pytest
import torch

from unlearnkit.engine.training.archive import refuse_damaged
from unlearnkit.errors import RecipeError


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_zeroed_bytes_in_a_checkpoint_are_seen(tmp_path, at) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"weight": torch.rand(2000)}, path)
    refuse_damaged(path)
    content = bytearray(path.read_bytes())
    start = int(at * len(content))
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="is damaged"):
        refuse_damaged(path)


def test_what_is_not_a_local_file_is_left_to_others(tmp_path) -> None:
    refuse_damaged("s3://bucket/a.ckpt")
    refuse_damaged(tmp_path)
