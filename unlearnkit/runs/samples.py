"""Copies the answers that a run sampled into its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unlearnkit.data.encoded import StreamData
from unlearnkit.data.samples import sample_row
from unlearnkit.data.streams.sampled import SampledData
from unlearnkit.files import write_rows


def write_samples(folder: Path, streams: Mapping[str, StreamData]) -> None:
    """Writes the answers to the prompts of each ``sampled`` stream, one file per stream.

    Raises:
        UserError: If a file cannot be written.
    """
    for name, data in streams.items():
        if isinstance(data, SampledData):
            known = data.known()
            rows = [known[ids] for ids in data.prompt_ids]
            folder.mkdir(exist_ok=True)
            write_rows(
                folder / f"{name}.jsonl",
                [sample_row(r.prompt, r.prompt_ids, r.answers, r.origin) for r in rows],
            )
