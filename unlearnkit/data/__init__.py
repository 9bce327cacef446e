"""Streams of rows, from file to batch."""

from unlearnkit.data.streams.alternate import AlternateStream
from unlearnkit.data.streams.base import Stream, StreamData
from unlearnkit.data.streams.chat import ChatStream
from unlearnkit.data.streams.idk import IdkStream
from unlearnkit.data.streams.mismatch import MismatchStream
from unlearnkit.data.streams.prompts import PromptStream
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.data.streams.sampled import SampledStream
from unlearnkit.data.streams.self_samples import SelfSamplesStream
from unlearnkit.data.streams.text import TextStream

__all__ = [
    "AlternateStream",
    "ChatStream",
    "IdkStream",
    "MismatchStream",
    "PromptStream",
    "QAStream",
    "SampledStream",
    "SelfSamplesStream",
    "Stream",
    "StreamData",
    "TextStream",
]
