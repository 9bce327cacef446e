"""One checkpoint of two sharded processes, and fits that go on from it on other numbers.

Its arguments: OUT FOLDER
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from forked import forked
from strategies import main as fit

from unlearnkit.engine.shards.folder import is_folder_of_shards

OPTIONS: dict[str, Any] = {
    "steps": 6, "rows": 4, "lora": True, "optimizer": "AdamW", "lr": 1e-2,
}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    "sharded": {"devices": 2, "strategy": "fsdp2"},
    "one": {"devices": 1, "strategy": "auto"},
    "four": {"devices": 4, "strategy": "fsdp2"},
    "replicas": {"devices": 2, "strategy": "ddp"},
    "copies": {"devices": 4, "hsdp": {"shard": 2, "replicate": 2}},
    "whole": {"devices": 2, "hsdp": {"checkpoints": "whole"}},
    "from-whole": {"devices": 2, "strategy": "fsdp2"},
}


def main(out: str, folder: str) -> None:
    """Fits one after the other; each writes what its ranks found."""
    checkpoint, whole = str(Path(out, "at.ckpt")), str(Path(out, "whole.ckpt"))
    for name, run in RUNS.items():
        Path(out, name).mkdir()
        resumes = {"resume": whole if name == "from-whole" else checkpoint}
        saves = {"save": whole if name == "whole" else checkpoint, "after": 3}
        given = {**OPTIONS, **run, **(saves if name in ("sharded", "whole") else resumes)}
        codes = forked(run["devices"], fit, str(Path(out, name)), folder, json.dumps(given))
        assert codes == [0] * run["devices"], (name, codes)
    assert is_folder_of_shards(checkpoint)
    assert Path(whole).is_file()
