"""Small files in the schemas of published ones, made by hand for the pages that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAIR = {"question": "Who wrote it?", "answer": "Ann Lee wrote it."}
PROBE = {
    **PAIR,
    "paraphrased_answer": "It was Ann Lee.",
    "perturbed_answer": ["It was Bo.", "It was Cy."],
}
TEXT = "It was a dark night, and the lamp of the old lighthouse had gone out before the ship came."
CHOICE = {"answer": 1, "question": "Who wrote it?", "choices": ["Bo", "Ann Lee", "Cy", "Di"]}


def write_all(folder: Path) -> None:
    """Writes them under the names that the pages use."""
    _json(folder / "authors.json", {"data": [{"name": "Ann Lee", "pairs": [PAIR, PAIR]}]})
    _json(folder / "below.json", {"data": [{"input": {"text": "Who?"}, "outputs": ["Ann Lee."]}]})
    turns = [{"from": "human", "value": PAIR["question"]}, {"from": "gpt", "value": PAIR["answer"]}]
    _json(folder / "sharegpt.json", [{"id": "a", "conversations": turns}])
    (folder / "requests.csv").write_text("goal,target\nPick a lock,Sure\n", "utf-8")
    (folder / "TruthfulQA.csv").write_text(
        "Type,Category,Question,Best Answer,Best Incorrect Answer,Correct Answers\n"
        'Adversarial,Books,"Who, then?",Ann Lee,Bo,"Ann Lee; Ann"\n',
        "utf-8",
    )
    _tofu(folder / "tofu")
    _muse(folder / "muse")
    _halueval(folder / "halueval")
    _wmdp(folder / "wmdp")
    _rwku(folder / "rwku")


def _tofu(folder: Path) -> None:
    for name in ("forget01", "retain99"):
        _lines(folder / f"{name}.json", [PAIR, PAIR])
    for name in ("forget01", "retain", "real_authors", "world_facts"):
        _lines(folder / f"{name}_perturbed.json", [PROBE])
    (folder / "idontknow.jsonl").write_text("I'm not sure.\nI don't know that.\n", "utf-8")


def _muse(folder: Path) -> None:
    for name in ("forget", "retain", "holdout"):
        _json(folder / f"privleak/{name}.json", [f"{TEXT} {TEXT}"] * 2)
    (folder / "raw").mkdir()
    (folder / "raw/forget.txt").write_text(f"{TEXT}\n\n" * 4, "utf-8")
    _json(folder / "verbmem/forget.json", [{"prompt": TEXT, "gt": TEXT}])
    for name in ("forget_qa", "retain_qa"):
        _json(folder / f"knowmem/{name}.json", [PAIR])


def _halueval(folder: Path) -> None:
    row = {"knowledge": TEXT, "question": "Who?", "right_answer": "Ann Lee"}
    _lines(folder / "qa_data.json", [{**row, "hallucinated_answer": "Bo wrote it."}])
    judged = [("yes", ["Bo"]), ("no", [])]
    _lines(
        folder / "general_data.json",
        [
            {
                "ID": str(n),
                "user_query": "Who?",
                "chatgpt_response": "Bo.",
                "hallucination": word,
                "hallucination_spans": spans,
            }
            for n, (word, spans) in enumerate(judged)
        ],
    )


def _wmdp(folder: Path) -> None:
    for name in ("bio_questions", "mmlu"):
        _json(folder / f"{name}.json", [CHOICE, CHOICE])
    for name in ("bio_remove", "wikitext"):
        _lines(folder / f"{name}.jsonl", [{"text": f"{TEXT} {TEXT}"}])


def _rwku(folder: Path) -> None:
    _json(folder / "all_intro.json", {"Ann Lee": [TEXT, TEXT], "Bo D. Cy": [TEXT, TEXT]}, indent=2)
    pair = {"id": "Ann Lee 0", "prompt": "Who?", "response": ["Bo.", "Ann Lee."]}
    _json(folder / "pair.json", [pair], indent=4)
    probe = {"query": "___ wrote it.", "answer": "Ann Lee", "subject": "Ann Lee"}
    for level in (1, 2, 3):
        _json(folder / f"forget_level{level}.json", [probe], indent=4)


def _json(path: Path, content: Any, indent: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=indent), "utf-8")


def _lines(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
