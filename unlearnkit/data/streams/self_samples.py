"""The stream ``sampled`` under an earlier name."""

from __future__ import annotations

import logging

from unlearnkit.data.streams.sampled import SampledStream

logger = logging.getLogger(__name__)


class SelfSamplesStream(SampledStream, name="self_samples"):
    """The stream ``sampled`` with a file, under the name that it had in earlier versions.

    Args:
        path: File of answers that ``unlearnkit sample`` wrote.
        prompts: The stream whose prompts are answered.
        per_prompt: Answers per prompt and draw; the file needs as many to each prompt.
    """

    def __init__(
        self, path: str = "self_samples.jsonl", prompts: str = "forget", per_prompt: int = 5
    ) -> None:
        super().__init__(prompts, per_prompt, path=path)

    def check(self) -> None:
        """As `SampledStream.check`; warns of the old name."""
        logger.warning(
            "the stream 'self_samples' is now {name: sampled, path: %s}; the old name still works",
            self.file,
        )
        super().check()
