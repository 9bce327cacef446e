"""Streams, one class per file.

Every module of this package is imported with it, so a new stream is one new file.
"""

from unlearnkit.data.streams.base import FileStream, Stream
from unlearnkit.registry import discover

__all__ = ["FileStream", "Stream"]
__getattr__, __dir__ = discover(__name__, Stream)
