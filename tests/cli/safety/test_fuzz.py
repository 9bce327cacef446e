"""Whatever a recipe or a data file says, the answer is a run or an error that can be mended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.cli.conftest import GOOD
from tests.cli.safety.fuzzing import data_files, recipes, suffixes
from unlearnkit.cli.main import main
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.models.base import load_tokenizer
from unlearnkit.suites.base import SuiteContext

SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def short(examples: int) -> settings:
    return settings(max_examples=examples, suppress_health_check=SHARED)


def long(examples: int) -> settings:
    """Of other draws each time."""
    return settings(
        max_examples=examples, derandomize=False, database=None, suppress_health_check=SHARED
    )


def check(capsys, *words: str) -> None:
    capsys.readouterr()
    code = main(list(words))
    said = capsys.readouterr()
    assert code in (0, 2), said.err
    assert "Traceback" not in said.out + said.err
    assert code == 0 or said.err.strip()


def check_recipe(text: str, folder: Path, capsys) -> None:
    (folder / "fuzzed.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    check(capsys, "validate", "--recipe", "fuzzed.yaml")


def check_data(content: bytes, suffix: str, folder: Path, capsys) -> None:
    (folder / f"fuzzed.{suffix}").write_bytes(content)
    path = f"fuzzed.{suffix}"
    check(capsys, "validate", "-r", "good.yaml", "--data.streams.forget.path", path)


FOUND = """\
seed_everything: 99999999999
model: {objectives: {a.b: npo, forget: 3, 0: npo, retain: {name: dpo, preferred: null}}}
data:
  streams:
    forget: {class_path: null, init_args: true}
    mismatch: {prompts: forget, answers: [[]]}
trainer: {max_epochs: 5}
"""
"""What longer runs found at first."""


@short(60)
@given(text=recipes())
@example(text=FOUND)
@example(text="model: {objectives: [npo]}")
@example(text=GOOD.replace("\ndata:\n", "\ndata:\n  anchor: [null]\n"))
@example(text=GOOD.replace("trainer:", "evaluate: null\ntrainer:"))
@example(
    text=GOOD.replace("\ntrainer:", "\n    mismatch: {prompts: forget, answers: [[]]}\ntrainer:")
)
@example(
    text="model: {lora: {init_lora_weights: fila, importance: {forget: {}}}}\ndata: {streams: {}}"
)
@example(text="model: {lora: {init_lora_weights: fila, importance: 3}}\ndata: {streams: {}}")
def test_recipes(text, folder, capsys) -> None:
    check_recipe(text, folder, capsys)


@short(60)
@given(content=data_files, suffix=suffixes)
@example(content=b'"prompt"x', suffix="tsv")
def test_data_files(content, suffix, folder, capsys) -> None:
    check_data(content, suffix, folder, capsys)


@pytest.mark.slow
@long(5000)
@given(text=recipes())
def test_many_recipes(text, folder, capsys) -> None:
    check_recipe(text, folder, capsys)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


@pytest.mark.slow
@long(5000)
@given(content=data_files, suffix=suffixes)
def test_many_data_files(content, suffix, folder, tokenizer, capsys, monkeypatch) -> None:
    """Reading a recipe takes most of `validate`, so that here it is made without one."""
    path = folder / f"fuzzed.{suffix}"
    path.write_bytes(content)

    def validate(words: list[str]) -> None:
        streams = {"forget": QAStream(str(path)), "retain": QAStream("retain.jsonl")}
        data = UnlearningDataModule(streams, tokenizer, batch_size=2)
        data.check()
        SuiteContext.of(data, seed=0)

    monkeypatch.setattr("unlearnkit.cli.main.run", validate)
    check(capsys, "validate")


@st.composite
def good_rows(draw: st.DrawFn) -> bytes:
    """Rows that may all be right, so that some runs come to train."""
    texts = st.text("abcde <>&é\U0001f600", min_size=1, max_size=8)
    rows = draw(st.lists(st.fixed_dictionaries({"prompt": texts, "response": texts}), max_size=4))
    return "\n".join(json.dumps(row) for row in rows).encode()


@short(8)
@given(content=good_rows())
def test_data_files_are_trained_on(content, folder, capsys) -> None:
    (folder / "fuzzed.jsonl").write_bytes(content)
    path = ("--data.streams.forget.path", "fuzzed.jsonl")
    check(capsys, "fit", "-r", "good.yaml", "--model.base", "tiny", *path)
