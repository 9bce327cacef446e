"""Rows that a recipe learns or holds to are none of those that are measured."""

import json
from pathlib import Path

import pytest

import unlearnkit

TINY = Path(unlearnkit.__file__).parent / "tiny"
ADDED = {"more_facts": 160, "more_reasons": 39, "advice": 56}
MEASURED = (
    *(("kept", name) for name in ("normal", "heldout", "facts", "polite", "dictionary")),
    *((kind, name) for kind in ("rude", "myths") for name in ("trained", "unseen")),
)
FRAME = ("Question: ", "\nAnswer:")


def rows(kind: str, name: str) -> list[dict[str, str]]:
    text = (TINY / kind / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def question(row: dict[str, str]) -> str:
    asked = row.get("prompt") or row["question"]
    return asked.removeprefix(FRAME[0]).removesuffix(FRAME[1])


@pytest.mark.parametrize("name", ADDED)
def test_added_rows_are_of_the_same_form_and_apart(name):
    added = rows("kept", name)
    prompts = [row["prompt"] for row in added]
    assert len(set(prompts)) == len(prompts) == ADDED[name]
    assert all(p.startswith(FRAME[0]) and p.endswith(f"?{FRAME[1]}") for p in prompts)
    assert all(r["response"].startswith(" ") and r["response"].endswith(".") for r in added)
    asked = {question(row) for row in added}
    said = {row["response"].strip() for row in added}
    for kind, other in MEASURED:
        found = rows(kind, other)
        assert not asked & {question(row) for row in found}, other
        truths = {(row.get("response") or row["right_answer"]).strip() for row in found}
        assert not said & truths, other
