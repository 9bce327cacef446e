"""How much is cut at `max_length` is told before, during and after."""

import json

import pytest
from transformers import AutoTokenizer

from unlearnkit.models.base import load_tokenizer

LENGTH = 16
ROWS = [
    ("Who is Ann?", "A baker."),
    ("Who is Bob?", "A sailor who went round the world twice and never told of it."),
    ("Who is Cid?", "A lawyer in the town of Old Harbour, and later its mayor."),
]
RECIPE = """\
model:
  base: tiny
  optimizer: {{name: SGD, lr: 0.0}}
  objectives: {{forget: {{name: gradient_ascent}}}}
data:
  max_length: {length}
  streams: {{forget: {{name: qa, path: rows.jsonl}}}}
trainer: {{max_steps: 1, accelerator: cpu}}
"""


@pytest.fixture
def counts(folder):
    """Rows cut, tokens lost, and tokens in all, by the tokenizer alone."""
    with open(folder / "rows.jsonl", "w") as file:
        for prompt, response in ROWS:
            file.write(json.dumps({"prompt": prompt, "response": response}) + "\n")
    tokenizer = AutoTokenizer.from_pretrained(load_tokenizer("tiny").name_or_path)
    # Prompts begin with BOS, responses end with EOS.
    prompts = [1 + len(tokenizer(p, add_special_tokens=False).input_ids) for p, _ in ROWS]
    responses = [len(tokenizer(r, add_special_tokens=False).input_ids) + 1 for _, r in ROWS]
    lost = [max(0, p + r - LENGTH) for p, r in zip(prompts, responses, strict=True)]
    return sum(each > 0 for each in lost), sum(lost), sum(responses)


def test_validate_banner_and_environment_say_what_is_cut(command, recipe, folder, counts):
    rows, lost, whole = counts
    assert (rows, lost > 10) == (2, True)
    told = f"forget {rows} of 3 rows, {lost} of {whole} response tokens"
    path = recipe(RECIPE.format(length=LENGTH))
    done = command("validate", "-r", path)
    assert f"cut at data.max_length {LENGTH}: {told}" in " ".join(done.out.split())
    done = command("fit", "-r", path, "--run_dir", "runs")
    assert done.code == 0, done.err
    assert f"cut at data.max_length: {told}" in " ".join(done.err.split())
    (file,) = (folder / "runs").rglob("environment.json")
    data = json.loads(file.read_text())["data"]["forget"]
    assert (data["rows"], data["cut_rows"], data["cut_tokens"]) == (3, rows, lost)
    summary = json.loads(file.with_name("summary.json").read_text())
    expected = {"cut": rows, "of": 3, "tokens": lost, "of_tokens": whole, "what": "rows"}
    assert summary["cut"] == {"forget": expected}


def test_cuts_of_other_answers_are_told_like_those_of_rows(command, recipe, folder, counts):
    tokenizer = AutoTokenizer.from_pretrained(load_tokenizer("tiny").name_or_path)
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in (ROWS[1][1], "No.")]
    (folder / "pool.txt").write_text(f"{ROWS[1][1]}\nNo.\n")
    rooms = [LENGTH - 1 - len(tokenizer(p, add_special_tokens=False).input_ids) for p, _ in ROWS]
    lengths = [len(each) + 1 for each in ids]
    pairs = [(room, length) for room in rooms for length in lengths]
    lost = [max(0, n - room) for room, n in pairs]
    told = (
        f"idk {sum(each > 0 for each in lost)} of 6 pairs of prompt and answer, "
        f"{sum(lost)} of {sum(n for _, n in pairs)} response tokens"
    )
    text = RECIPE.format(length=LENGTH)
    text = text.replace("path: rows.jsonl}", "path: rows.jsonl}, idk: {answers: pool.txt}")
    done = command("validate", "-r", recipe(text))
    assert done.code == 0, done.err
    assert told in " ".join(done.out.split())


def test_nothing_is_said_where_nothing_is_cut(command, recipe, counts):
    done = command("validate", "-r", recipe(RECIPE.format(length=64)))
    assert done.code == 0
    assert "cut at" not in done.out
