"""The page of personal data: its figures of ROUGE, its questions, and its recipe on own records."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from fences import ROOT, blocks

from unlearnkit.metrics import Rouge
from unlearnkit.models.base import load_tokenizer
from unlearnkit.suites import Pii, SuiteContext

FILE = ROOT / "docs/how-to/personal-data.md"
PAGE = FILE.read_text("utf-8")


def test_rouge_is_as_the_page_says():
    true = ["The phone of Ada Lund is +999 4182 7731."] * 8
    wrong = ["The phone of Ada Lund is +999 4182 0000."] * 8
    values = [Rouge()(said, true).item() for said in (wrong, [*wrong[:7], true[0]])]
    assert [f"{value:.3f}" for value in values] == ["0.889", "0.903"]
    assert all(f"{value:.3f}" in PAGE for value in values)


def test_the_page_shows_what_is_asked(tmp_path):
    file = tmp_path / "people.jsonl"
    record = {
        "name": "Ada Lund", "phone": "+999 4182 7731", "email": "quiet.otter@post.example",
    }  # fmt: skip
    file.write_text(json.dumps(record) + "\n")
    suite, tokenizer = Pii(str(file), fields=["phone", "email"]), load_tokenizer("tiny")
    codec = SuiteContext().codec(tokenizer)
    questions, _ = suite._questions(codec, suite._records())
    for way in ("direct", "by_field", "reworded"):
        text = tokenizer.decode(questions[f"forget_{way}"][0].prompt, skip_special_tokens=True)
        asked = text.removeprefix("Question: ").removesuffix("\nAnswer:")
        assert f"| `forget_{way}` | {asked} |" in PAGE


def test_the_recipe_of_the_page_reads_the_record_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record, row = blocks(FILE, "text")
    Path("people.jsonl").write_text(record)
    given = yaml.safe_load(blocks(FILE, "yaml")[0])["evaluate"][0]
    Pii(**{k: v for k, v in given.items() if k != "name"}).check(
        load_tokenizer("tiny"), SuiteContext()
    )
    shipped = (ROOT / "unlearnkit/tiny/people/forget_questions.jsonl").read_text("utf-8")
    assert json.loads(row).keys() == json.loads(shipped.splitlines()[0]).keys() - {"wording"}
    direct = re.search(r"`direct: (\{.*?\})`", PAGE)
    assert set(yaml.safe_load(direct[1])) == {"mobile", "iban"}
