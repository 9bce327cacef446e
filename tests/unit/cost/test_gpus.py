"""Machines by short texts."""

from __future__ import annotations

import pytest

from unlearnkit.cost.gpus import GPUS, LARGEST_SHARE, machine
from unlearnkit.errors import UserError


@pytest.mark.parametrize("name", GPUS)
def test_each_gpu_is_found_alone_in_a_node_and_in_several(name) -> None:
    assert (machine(name).gpu.name, machine(name).each, machine(name).nodes) == (name, None, 1)
    found = machine(f"{name.upper()}x8x2")
    assert (found.gpu.name, found.each, found.nodes) == (name, 8, 2)


def test_each_gpu_has_a_source_and_room_below_its_memory() -> None:
    for gpu in GPUS.values():
        assert gpu.source
        assert gpu.room == LARGEST_SHARE * gpu.memory * 10**9
        assert gpu.float32 < gpu.bfloat16


@pytest.mark.parametrize("text", ["h10", "", "h100x", "h100x0", "h100x8x2x1", "h100 8", "v100x8"])
def test_other_texts_are_refused(text) -> None:
    with pytest.raises(UserError, match="--gpu") as refused:
        machine(text)
    if not text.startswith("h100x"):
        assert "h100 (80 GB)" in str(refused.value.hint)


def test_nodes_speak_by_the_network() -> None:
    assert machine("h100x8").link(8) == 450e9
    assert machine("h100x8x2").link(16) == 50e9
