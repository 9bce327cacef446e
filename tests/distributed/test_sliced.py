"""A sharded model is read slice by slice, and no process ever holds it whole."""

from __future__ import annotations

import json
import shutil

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


@pytest.mark.slow
@pytest.mark.ranks
def test_a_process_takes_little_memory_beyond_its_slices(tmp_path) -> None:
    """Policy and frozen reference, and the passes that find out how the model is to be run.

    A process that loads a model of as many blocks and next to no weights takes what the libraries
    take. Beyond the slices there are three blocks of twelve, the embedding and the head: a third of
    the model. With the blocks of one pass kept it was half of the model and more.
    """
    save_llama(tmp_path / "model", 32, 12)
    idle = [rank["peak"] for rank in _loaded(tmp_path, 2, "")]
    shutil.rmtree(tmp_path / "model")
    size = save_llama(tmp_path / "model", 512, 12)
    for rank, own in zip(_loaded(tmp_path, 2, ""), idle, strict=True):
        slices = sum(held for held, _ in rank["held"].values()) * 4
        assert slices == size  # half of each of two models
        assert slices * 0.95 < rank["peak"] - own < slices + 0.4 * size
