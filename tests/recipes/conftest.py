"""A recipe as objects, with a model that is small enough to be trained in a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from chat_templates import CHATML
from stub import save_stub

from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.build_phases import PhasedRecipe, recipe_of
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import read_command_line

DATA = Path(__file__).parent / "data"
TRUTHFUL_QA = DATA / "truthful_qa.jsonl"
HALU_EVAL = DATA / "halu_eval.jsonl"
TRUTHFUL_QA_CSV = DATA / "truthful_qa.csv"
# Recipes of data that is not shipped: small files with the same columns.
OWN_DATA = {
    "paper/copyright_opt": {"forget": DATA / "book.txt", "retain": DATA / "other_texts.txt"},
    "paper/harmful_opt": {
        "forget": DATA / "safe_rlhf.jsonl",
        "pool": TRUTHFUL_QA,
        "retain": TRUTHFUL_QA,
    },
    "paper/hallucination_opt": {
        "forget": HALU_EVAL,
        "pool": TRUTHFUL_QA,
        "retain": TRUTHFUL_QA,
    },
    "smollm2/halueval": {
        **dict.fromkeys(("forget", "unseen", "neighbour"), HALU_EVAL),
        **dict.fromkeys(("retain", "heldout"), TRUTHFUL_QA_CSV),
    },
}


@pytest.fixture(scope="session")
def small_model(tmp_path_factory) -> Path:
    """A random Llama with a tokenizer of ten letters, and a chat template."""
    folder = save_stub({"random_init": 1, "layers": 3}, tmp_path_factory.mktemp("small"))
    (folder / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    return folder


@pytest.fixture
def build(small_model, tmp_path, monkeypatch):
    """Objects of a shipped recipe that takes two steps with the small model."""
    monkeypatch.chdir(tmp_path)

    def built(name: str, *words: str) -> RecipeCLI | PhasedRecipe:
        overrides = [
            ("model.base", small_model),
            ("evaluate", "[]"),
            ("trainer.max_steps", 2),
            ("trainer.accelerator", "cpu"),
            ("trainer.enable_progress_bar", "false"),
            *((f"data.streams.{s}.path", path) for s, path in OWN_DATA.get(name, {}).items()),
            # A file has no configurations and one split, unlike the data set on the Hub.
            *(
                (f"data.streams.{s}.{key}", value)
                for s, path in OWN_DATA.get(name, {}).items()
                if path.suffix != ".txt"
                for key, value in (("config", "null"), ("split", "train"))
            ),
        ]
        argv = [f"--{key}={value}" for key, value in overrides]
        line = read_command_line(["--recipe", name, *argv, *words])
        return recipe_of(read(line.recipes), line.overrides, "fit", print_only=False)

    return built
