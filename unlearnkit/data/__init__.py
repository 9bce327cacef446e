"""Streams of rows, from file to batch.

The classes of streams can be imported from here by name: ``from unlearnkit.data import QAStream``.
"""

from unlearnkit.data import streams
from unlearnkit.data.encoded import StreamData
from unlearnkit.data.streams import FileStream, Stream

__all__ = ["FileStream", "Stream", "StreamData"]
__getattr__, __dir__ = streams.__getattr__, streams.__dir__
