"""Streams of rows, from file to batch."""

from unlearnkit.data.chat import ChatStream
from unlearnkit.data.mismatch import MismatchStream
from unlearnkit.data.qa import QAStream
from unlearnkit.data.streams import Stream, StreamData
from unlearnkit.data.text import TextStream

__all__ = ["ChatStream", "MismatchStream", "QAStream", "Stream", "StreamData", "TextStream"]
