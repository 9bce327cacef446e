"""Sizes of the output head's chunks and kept gradients."""

from __future__ import annotations

from typing import NamedTuple

CPU_CHUNK_BYTES = 34 * 2**20
"""Size of one chunk of float32 logits on a CPU. The C library maps blocks above 32 MiB one by one
and gives them back at once; smaller ones leave holes in its heap, twice the peak with 128256
tokens."""
_CHUNKS = (64 * 2**20, 512 * 2**20)
"""Smallest and largest chunk elsewhere, where a small one leaves a processor idle."""
FEWEST_TOKENS = 128
"""Of a chunk, whatever the vocabulary: of fewer, reading the head's weight takes a fifth more."""


class Sizes(NamedTuple):
    """How much memory the head may take, in bytes."""

    chunk: int
    """Float32 logits that exist at one time."""
    gradient: int
    """Largest gradient of the head's weight that is kept per stream rather than computed later."""

    def tokens(self, vocabulary: int) -> int:
        """Tokens whose logits exist at one time."""
        return max(FEWEST_TOKENS, self.chunk // (4 * vocabulary))


def sizes(device: str, memory: int) -> Sizes:
    """Sizes for a kind of device.

    Args:
        device: ``cpu``, ``cuda`` and so on.
        memory: Its memory in bytes: what is free, or of a CPU all there is, so that equal runs on
            a machine that does other things too are computed alike.

    Example:
        >>> [each >> 20 for each in sizes("cpu", 16 * 2**30)]
        [34, 2048]
        >>> [each >> 20 for each in sizes("cuda", 40 * 2**30)]
        [512, 5120]
        >>> [each >> 20 for each in sizes("cuda", 3 * 2**30)]
        [128, 384]
    """
    if device == "cpu":
        return Sizes(CPU_CHUNK_BYTES, memory // 8)
    smallest, largest = _CHUNKS
    # A power of two, so that what is free varies without changing how a run is computed.
    share = 1 << max(0, (memory // 16).bit_length() - 1)
    return Sizes(min(max(share, smallest), largest), memory // 8)
