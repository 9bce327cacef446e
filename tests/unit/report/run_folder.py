"""A finished run folder, written by hand, with texts that mean harm."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from unlearnkit.runs.measure import Stages

HOSTILE = (
    "<script>alert(1)</script></script><img src=https://evil.example/x onerror=alert(1)>"
    "\x00\x1b[31m\u202e\ud800 & \"quoted\" 'text'"
)
SUITES = {
    "copyright": {
        "before": {"forget/rougeL_recall": 1.0, "normal/rougeL_recall": 1.0},
        "after": {"forget/rougeL_recall": 0.1, "normal/rougeL_recall": 0.9},
        "gold": {"forget/rougeL_recall": 0.12, "normal/rougeL_recall": 1.0},
    }
}
INTERVALS = {
    "copyright": {
        "before": {"forget/rougeL_recall": [1.0, 1.0], "normal/rougeL_recall": [0.99, 1.0]},
        "after": {"forget/rougeL_recall": [0.05, 0.15], "normal/rougeL_recall": [0.85, 0.95]},
        "gold": {"forget/rougeL_recall": [0.08, 0.16], "normal/rougeL_recall": [1.0, 1.0]},
    }
}
TRUE = "the cat sat on the mat"


def stages() -> Stages:
    """Of a run without suites."""
    nothing: Any = SimpleNamespace(
        data={}, tokenizer=None, max_length=8, date="", control_tokens="text"
    )
    return Stages([], nothing, 0, None, Exception)  # pyright: ignore


def write_run(folder: Path, *, rows: int = 3, **changes: Any) -> Path:
    """``changes`` replaces keys of summary.json."""
    (folder / "model").mkdir(parents=True)
    recipe = (
        "model:\n  objectives:\n    forget: {}\n  base: tiny\n# </pre><script>alert(1)</script>\n"
    )
    (folder / "recipe.yaml").write_text(recipe)
    summary = {
        "recipe": "copyright",
        "seed": 1,
        "steps": 4,
        "stopped_by": None,
        "seconds": 1.5,
        "peak_memory_mb": 10.0,
        "suites": SUITES,
    }
    (folder / "summary.json").write_text(json.dumps(summary | changes))
    (folder / "intervals.json").write_text(json.dumps(INTERVALS))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "command": [HOSTILE]}))
    (folder / "metrics.csv").write_text(
        "epoch,step,train/forget,train/loss\n0,0,1.0,2.0\n0,1,,nan\n0,2,3.0,4.0\n"
    )
    said = {"before": TRUE, "after": HOSTILE, "gold": "a dog"}
    lines = [
        {
            "suite": "copyright",
            "when": when,
            "stream": stream,
            "row": row,
            "source": f"book.jsonl:{row + 1}",
            "prompt": f"{stream} prompt {row}",
            "reference": TRUE,
            "generated": text,
            "rougeL_recall": 0.5,
        }
        for when, text in said.items()
        for stream in ("normal", "forget")
        for row in range(rows)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tokens = {
        "row": 0,
        "source": "book.jsonl:1",
        "prompt": HOSTILE,
        "tokens": ["the", HOSTILE, " mat"],
        "logps": {"before": [0.0, -0.1, -0.2], "after": [-1.0, -3.0, float("-inf")]},
    }
    (folder / "tokens.jsonl").write_text(json.dumps(tokens) + "\n")
    return folder
