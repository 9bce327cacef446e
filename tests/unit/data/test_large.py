"""A large file takes memory in proportion to its bytes, and not by a large factor."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import processes
import pytest

LONG = "the dead rowed the ferry of the old harbour " * 4


def _read(path: str) -> None:
    """Prints by how many bytes the peak of this process grows."""
    from unlearnkit.data.datamodule import UnlearningDataModule
    from unlearnkit.data.streams.qa import QAStream

    data = UnlearningDataModule({"forget": QAStream(path)}, tokenizer="tiny", max_length=64)
    assert data.tokenizer
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data.check()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(len(data.data["forget"]), (after - before) * 1024)


@pytest.mark.slow
def test_rows_take_a_few_times_the_bytes_of_their_file(tmp_path: Path) -> None:
    """So that 200 MB of rows fit into the memory of a laptop: 6 × 200 MB = 1.2 GB."""
    sizes, peaks = [], []
    for rows in (20_000, 100_000):
        file = tmp_path / f"{rows}.jsonl"
        lines = (
            json.dumps({"prompt": f"Who rowed {row}?", "response": f"{row} {LONG}"}) + "\n"
            for row in range(rows)
        )
        file.write_text("".join(lines))
        done = processes.run(_read, str(file))
        assert done.returncode == 0, done.stderr
        found, peak = map(int, done.stdout.split())
        assert found == rows
        sizes.append(file.stat().st_size)
        peaks.append(peak)
    # Of the difference, since libraries take their share once. What an allocator keeps differs by
    # ten MB from run to run: next to 18 MB of rows that tells little, next to two it told all.
    assert 0 < peaks[1] - peaks[0] <= 6 * (sizes[1] - sizes[0])
