"""The suites on files as they were published: other suffixes, pieces, texts without names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unlearnkit.data import PromptStream
from unlearnkit.errors import DataError, RecipeError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import Hallucination, Harmful, SuiteContext, muse
from unlearnkit.suites.parts.published import Part, read_parts

DATA = Path(__file__).parent / "data"
SHORT = SuiteContext(max_new_tokens=6)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


@pytest.fixture(scope="module")
def target():
    return load_model("tiny")


def jsonl(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def muse_as_published(folder):
    """The same rows as MUSE's own scripts write them: texts without names, an array in one line."""
    shutil.copytree(DATA / "muse", folder)
    for path in (folder / "privleak").iterdir():
        path.write_text(json.dumps([row["text"] for row in jsonl(path)]))
    return folder


def as_parquet(folder):
    """The same rows as the Hub stores them, in pieces below each configuration."""
    for path in (DATA / "tofu").iterdir():
        rows = jsonl(path)
        (folder / path.stem).mkdir(parents=True)
        for n, part in enumerate((rows[:1], rows[1:])):
            piece = folder / path.stem / f"train-0000{n}-of-00002.parquet"
            pq.write_table(pa.Table.from_pylist(part), piece)
    return folder


@pytest.mark.parametrize(
    ("name", "parts", "write"),
    [("muse", muse._PARTS, muse_as_published), ("tofu", None, as_parquet)],
)
def test_rows_are_the_same_however_they_are_published(name, parts, write, tmp_path):
    parts = parts or [
        Part("forget", "forget10_perturbed", ("question", "paraphrased_answer")),
        Part("retain", "retain_perturbed", ("question",), ("perturbed_answer",)),
    ]
    expected = read_parts(str(DATA / name), parts)
    found = read_parts(str(write(tmp_path / name)), parts)
    assert found.keys() == expected.keys()
    for stream, items in expected.items():
        assert [item.fields for item in found[stream]] == [item.fields for item in items]


def test_a_file_for_the_folder_is_refused(tokenizer):
    file = str(DATA / "hallucination/trained.jsonl")
    with pytest.raises(DataError, match="found a file, expected the folder that it stands in"):
        Hallucination(file).check(tokenizer, SHORT)
    Hallucination(str(DATA / "hallucination"), "trained.jsonl", None).check(tokenizer, SHORT)


def test_harmful_prompts_need_no_answers(target, tokenizer, tmp_path):
    asked = [row["prompt"] for row in jsonl(DATA / "harmful/trained.jsonl")]
    (tmp_path / "texts.json").write_text(json.dumps(asked))
    rows = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in asked)
    (tmp_path / "rows.jsonl").write_text(rows)
    answered = Harmful(str(DATA / "harmful/trained.jsonl")).run(target, tokenizer, SHORT)
    for name in ("texts.json", "rows.jsonl"):
        result = Harmful(str(tmp_path / name)).run(target, tokenizer, SHORT)
        assert result.values == answered.values
        said = [(row["prompt"], row["generated"]) for row in answered.rows]
        assert [(row["prompt"], row["generated"]) for row in result.rows] == said
        assert not result.rows[0].keys() & {"reference", "nll_sum", "rougeL_recall"}
    prompts = PromptStream(str(tmp_path / "rows.jsonl"))
    with pytest.raises(RecipeError, match=r"the normal rows .* are prompts without responses"):
        Harmful(prompts, normal=prompts).check(tokenizer, SHORT)
