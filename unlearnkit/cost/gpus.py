"""GPUs by name: memory, speed, links, and where the figures are from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unlearnkit.errors import UserError

LARGEST_SHARE = 0.9
"""Of a GPU's memory, up to which tensors are said to fit; CUDA, kernels and fragments take more."""
NETWORK = 50e9
"""Bytes a second between nodes, for each GPU: one port of 400 Gb/s."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, by the figures of its maker.

    Args:
        name: As it is typed.
        memory: In 10^9 bytes.
        bfloat16: Dense products in bfloat16, in 10^12 operations a second.
        float32: Products in float32 outside of tensor cores, likewise.
        bandwidth: Of the memory, in 10^9 bytes a second.
        link: To the other GPUs of its node, in one direction, in 10^9 bytes a second.
        source: Document of the maker.
    """

    name: str
    memory: int
    bfloat16: float
    float32: float
    bandwidth: float
    link: float
    source: str

    @property
    def bytes(self) -> int:
        """Memory in bytes."""
        return self.memory * 10**9

    @property
    def room(self) -> float:
        """Bytes that a run may take of it."""
        return LARGEST_SHARE * self.bytes


_A100 = "NVIDIA A100 Tensor Core GPU datasheet, SXM4"
_H100 = "NVIDIA H100 Tensor Core GPU datasheet, SXM5, half of the figure with sparsity"
_H200 = "NVIDIA H200 Tensor Core GPU datasheet, SXM, half of the figure with sparsity"
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("a100-40", 40, 312, 19.5, 1555, 300, _A100),
        Gpu("a100", 80, 312, 19.5, 2039, 300, _A100),
        Gpu("h100", 80, 989.5, 67, 3350, 450, _H100),
        Gpu("h200", 141, 989.5, 67, 4800, 450, _H200),
        Gpu("b200", 180, 2250, 80, 8000, 900, "NVIDIA HGX B200 datasheet, an eighth of a board"),
        Gpu("l4", 24, 121, 30.3, 300, 32, "NVIDIA L4 datasheet, half of the figure with sparsity"),
        Gpu("l40s", 48, 362, 91.6, 864, 32, "NVIDIA L40S datasheet"),
        Gpu("a10", 24, 125, 31.2, 600, 32, "NVIDIA A10 datasheet"),
        Gpu("a6000", 48, 154.8, 38.7, 768, 56, "NVIDIA RTX A6000 datasheet, half with sparsity"),
        Gpu("rtx3090", 24, 71, 35.6, 936, 32, "NVIDIA GA102 whitepaper, float32 accumulation"),
        Gpu("rtx4090", 24, 165.2, 82.6, 1008, 32, "NVIDIA Ada whitepaper, float32 accumulation"),
        Gpu("mi300x", 192, 1307.4, 163.4, 5300, 448, "AMD Instinct MI300X datasheet"),
    )
}


@dataclass(frozen=True)
class Machine:
    """GPUs of one kind, in nodes.

    Args:
        gpu: The kind.
        each: GPUs of a node; None where they are not named.
        nodes: Nodes.
    """

    gpu: Gpu
    each: int | None = None
    nodes: int = 1

    def link(self, world: int) -> float:
        """Bytes a second from a GPU to others of a group, by the slowest link on the way."""
        return NETWORK if self.nodes > 1 and world > 1 else self.gpu.link * 1e9


def machine(text: str) -> Machine:
    """The machine that a short text names: a GPU, GPUs of a node, nodes.

    Raises:
        UserError: If there is no such GPU, with those that there are.

    Example:
        >>> found = machine("h100x8x2")
        >>> found.gpu.name, found.each, found.nodes
        ('h100', 8, 2)
    """
    name, *counts = _parts(text)
    if name not in GPUS:
        known = ", ".join(f"{gpu.name} ({gpu.memory} GB)" for gpu in GPUS.values())
        raise UserError(f"--gpu: no GPU is named '{name}'.", title="usage", hint=f"Known: {known}.")
    if len(counts) > 2 or not all(each.isdecimal() and int(each) for each in counts):
        raise UserError(
            f"--gpu: expected a GPU, GPUs of a node and nodes, such as h100, h100x8 or h100x8x2, "
            f"found '{text}'.",
            title="usage",
        )
    numbers = [int(each) for each in counts]
    return Machine(GPUS[name], *numbers)


def _parts(text: str) -> list[str]:
    """Split at each ``x``, but for that of the name."""
    text = text.strip().lower()
    name = next((each for each in sorted(GPUS, key=len, reverse=True) if text == each), None)
    if name is None:
        begins = (each for each in sorted(GPUS, key=len, reverse=True) if text.startswith(each))
        name = next((each for each in begins if text[len(each)] == "x"), None)
    if name is None:
        return [re.split(r"x\d+", text)[0]]
    rest = text[len(name) :]
    return [name, *rest.split("x")[1:]]
