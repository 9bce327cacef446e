"""A sharded model is read slice by slice, and no process ever holds it whole."""

from __future__ import annotations

import json

import pytest
from processes import run_ranks
from sliced import main, save_llama


def _loaded(tmp_path, ranks: int, *words: str) -> list:
    for done in run_ranks(ranks, main, str(tmp_path), str(tmp_path / "model"), *words):
        assert done.returncode == 0, done.stderr
    return [json.loads((tmp_path / f"rank{n}.json").read_text()) for n in range(ranks)]


@pytest.mark.parametrize("kind", ["full", "lora", "tied"])
def test_the_weights_are_those_of_the_whole_model_in_slices(kind, tmp_path) -> None:
    save_llama(tmp_path / "model", 64, 2, tie=kind == "tied")
    for rank in _loaded(tmp_path, 2, "lora" if kind == "lora" else "", "compared"):
        assert rank["equal"]
        assert rank["layout"] == "packed"
        assert all(2 * own == whole for own, whole in rank["held"].values())
