"""Writes the head words of ``tiny/headwords.txt``: ``python -m tools.tiny.headwords``.

Words of the protected rows, in the form in which a dictionary begins its entries. The embedded
model writes entries to them that nobody wrote; what it writes stands for text of the book's kind.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

HERE = Path(__file__).parents[2] / "unlearnkit" / "tiny"
FILE = HERE / "headwords.txt"
COUNT = 400
_CLASSES = ("n.", "n.", "adj.", "v.t.")


def headwords(count: int = COUNT, seed: int = 0) -> list[str]:
    """Head words with their class, such as ``DUTY, n.``.

    Args:
        count: How many.
        seed: Which of the words, and their classes.
    """
    rows = [json.loads(line) for line in (HERE / "normal.jsonl").read_text("utf-8").splitlines()]
    text = " ".join(row["prompt"] + row["response"] for row in rows)
    words = sorted(set(re.findall(r"\b[a-z]{4,10}\b", text)))
    chosen = random.Random(seed)
    picked = chosen.sample(words, count)
    return [f"{word.upper()}, {chosen.choice(_CLASSES)}" for word in picked]


if __name__ == "__main__":
    FILE.write_text("\n".join(headwords()) + "\n", encoding="utf-8")
