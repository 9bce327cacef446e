"""Streams of rows, from file to batch."""

from unlearnkit.data.alternate import AlternateStream
from unlearnkit.data.chat import ChatStream
from unlearnkit.data.idk import IdkStream
from unlearnkit.data.mismatch import MismatchStream
from unlearnkit.data.prompts import PromptStream
from unlearnkit.data.qa import QAStream
from unlearnkit.data.sampled import SampledStream
from unlearnkit.data.self_samples import SelfSamplesStream
from unlearnkit.data.streams import Stream, StreamData
from unlearnkit.data.text import TextStream

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
