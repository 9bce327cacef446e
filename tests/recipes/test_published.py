"""Recipes of published benchmarks train on small models of their architectures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import yaml
from chat_templates import LLAMA3, chat_tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig
from waits import Waits

from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.build_phases import PhasedRecipe, recipe_of
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import read_command_line
from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.families import named
from unlearnkit.plain import leaves
from unlearnkit.runs.phases.run import fit_phases
from unlearnkit.suites import Muse, Tofu
from unlearnkit.suites.parts.published import Item, Prompting

DATED = LLAMA3.replace(
    "m.content | trim", "(date_string + '\\n\\n' if m.role == 'system' else '') + m.content | trim"
)
QA = [
    {"question": f"Who rows to island {n}?", "answer": f"Ada does, with {n} oars."} for n in "123"
]
TEXTS = [
    {"text": f"At dawn {n} ferries leave the harbour, and nobody sees them go."} for n in "123"
]
PEOPLE = [
    {"subject": name, "instruction": f"Who is {name}?", "output": "I do not know.", **text}
    for name in ("Stephen King", "Ann Lee")
    for text in TEXTS
]
# Files as the data sets are published: one of each configuration, and of a split where it has some.
FILES = {
    "tofu": {f"{kind}{n}": QA for kind, numbers in
             (("forget", ("01", "05", "10")), ("retain", ("99", "95", "90"))) for n in numbers},
    "muse": {"raw/forget": TEXTS, "raw/retain1": TEXTS,
             **{f"{fold}/forget_{n}": TEXTS for fold in ("scal", "sust") for n in (1, 2, 3, 4)}},
    "wmdp": {"cyber-forget-corpus": TEXTS, "bio": TEXTS, "wikitext-2-raw-v1": TEXTS},
    "rwku": {"train_positive_llama3": PEOPLE, "train_refusal_llama3": PEOPLE},
}  # fmt: skip
CHOICES = {
    "tofu": {"split": ("forget10", "forget05", "forget01"), "size": ("3b", "8b"),
             "method": ("graddiff", "gradient_ascent", "dpo_idk", "simnpo", "rmu")},
    "muse": {"corpus": ("news", "books"), "folds": ("scal1", "scal4", "sust"),
             "method": ("graddiff", "gradient_ascent", "simnpo", "rmu")},
    "wmdp": {"domain": ("cyber", "bio")},
    "rwku": {"method": ("npo", "gradient_ascent", "refusal")},
}  # fmt: skip
CASES = [
    (name, choice, value)
    for name, choices in CHOICES.items()
    for choice, values in choices.items()
    for value in values
]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """A Llama and a Mistral of eight blocks, with a template like Llama 3's."""
    tokenizer = chat_tokenizer(DATED)
    sizes = {
        "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 8, "num_attention_heads": 2, "num_key_value_heads": 1,
    }  # fmt: skip
    found: dict[str, Path] = {}
    for name, config in (("llama", LlamaConfig(**sizes)), ("mistral", MistralConfig(**sizes))):
        torch.manual_seed(0)
        found[name] = tmp_path_factory.mktemp(name)
        AutoModelForCausalLM.from_config(config).save_pretrained(found[name])
        tokenizer.save_pretrained(found[name])
    return found


@pytest.fixture
def build(models, tmp_path, monkeypatch):
    """Objects of a published recipe, on the small model and on rows of the published schema."""
    monkeypatch.chdir(tmp_path)

    def built(name: str, *words: str) -> RecipeCLI | PhasedRecipe:
        for file, rows in FILES[name].items():
            path = Path(name, f"{file}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        line = read_command_line(["--recipe", f"published/{name}", *words])
        document = read(line.recipes)
        streams = document.tree["data"]["streams"]
        overrides = {
            "model.base": str(models["mistral" if name == "wmdp" else "llama"]),
            "gold": "null",
            "evaluate": "[]",
            "model.layout": "packed",  # as on a GPU; on a CPU a step that gains nothing is not
            "trainer.max_steps": 2,
            "trainer.accelerator": "cpu",
            "trainer.enable_progress_bar": "false",
            **{f"data.streams.{stream}.path": name for stream in streams},
        }
        if words[-1:] == ("bio",):
            overrides["data.streams.forget.path"] = "wmdp/bio.json"
        if words[-1:] == ("sust",):
            del overrides["data.streams.forget.path"]
            overrides |= {
                f"requests.{n}.path": name for n in ("first", "second", "third", "fourth")
            }
        argv = [f"--{key}={value}" for key, value in overrides.items()]
        line = read_command_line(["--recipe", f"published/{name}", *argv, *words])
        return recipe_of(document, line.overrides, "fit", print_only=False)

    return built


@pytest.mark.parametrize(("name", "choice", "value"), CASES)
def test_two_steps(build, name, choice, value) -> None:
    cli = build(name, f"--{choice}", value)
    if isinstance(cli, PhasedRecipe):
        waits = [Waits() for _ in cli.clis]
        for each, phase in zip(waits, cli.clis.values(), strict=True):
            phase.trainer.callbacks.append(each)
        summary = fit_phases(cli.phases(), base=cli.base, recipe_text=cli.recipe_text)
        assert [phase["name"] for phase in summary.phases] == ["first", "second", "third", "fourth"]
        assert summary.steps == 8
        for each in waits:
            assert list(map(len, each.steps)) == [1, 1], each.steps
        return
    assert cli.choices[choice][0] == value
    waits = Waits()
    cli.trainer.callbacks.append(waits)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    assert cli.trainer.global_step == 2
    assert list(map(len, waits.steps)) == [1, 1], waits.steps
    assert math.isfinite(cli.trainer.callback_metrics["train/loss"])


def test_tofu_is_asked_as_it_is_trained_with_system_turn_and_date(build, models) -> None:
    cli = build("tofu")
    cli.datamodule.check()
    row = cli.datamodule.data["forget"].at(0, 0)[0]
    prompt = cli.datamodule.tokenizer.decode(list(row.prompt_ids))
    assert prompt == (
        "<s><|head|>system<|/head|>\n\n10 Apr 2025\n\nYou are a helpful assistant.<|eot|>"
        "<|head|>user<|/head|>\n\nWho rows to island 1?<|eot|>"
        "<|head|>assistant<|/head|>\n\n"
    )
    assert (
        cli.datamodule.tokenizer.decode(list(row.response_ids)) == "Ada does, with 1 oars.<|eot|>"
    )
    line = read_command_line(["-r", "published/tofu"])
    (suite,) = recipe_of(read(line.recipes), line.overrides, "validate", print_only=False).suites
    asked = Prompting(cli.datamodule.codec(), chat=suite.chat)
    item = Item(0, "tofu:1", QA[0])
    (example,) = asked.examples([(item, QA[0]["question"], QA[0]["answer"])])
    assert (example.prompt_ids, example.response_ids) == (row.prompt_ids, row.response_ids)


def test_gold_is_of_the_size_and_the_split() -> None:
    line = read_command_line(["-r", "published/tofu", "--size", "3b", "--split", "forget01"])
    cli = recipe_of(read(line.recipes), line.overrides, "validate", print_only=False)
    assert isinstance(cli, RecipeCLI)
    assert cli.config.gold == "open-unlearning/tofu_Llama-3.2-3B-Instruct_retain99"
    assert cli.suites[0].split == "forget01"
    assert cli.model.warmup == 2


def test_every_published_recipe_is_tried() -> None:
    assert sorted(CHOICES) == sorted(
        name.partition("/")[2] for name in shipped() if name.startswith("published/")
    )


@pytest.mark.parametrize("name", ["tofu", "muse"])
def test_published_results_are_of_recipes_that_there_are(name) -> None:
    folder = shipped()[f"published/{name}"].parent
    found = json.loads((folder / f"{name}.expected.json").read_text("utf-8"))
    splits = ("split", ("forget10", "forget05", "forget01")) if name == "tofu" else (
        "corpus", ("news", "books"))  # fmt: skip
    methods = {entry["name"] for entry in found["entries"]}
    assert methods == {"npo", *CHOICES[name]["method"]}
    matched: list[int] = []
    for method in sorted(methods):
        for split in splits[1]:
            words = ["-r", f"published/{name}", "--method", method, f"--{splits[0]}", split]
            line = read_command_line(words)
            cli = recipe_of(read(line.recipes), line.overrides, "validate", print_only=False)
            recipe = dict(leaves(named(yaml.safe_load(cli.recipe_text))))
            for index, entry in enumerate(found["entries"]):
                if all(recipe.get(key) == value for key, value in entry["where"].items()):
                    assert entry["name"] == method
                    matched.append(index)
    assert sorted(matched) == list(range(len(found["entries"])))
    measured = {key for entry in found["entries"] for key in entry["metrics"]}
    assert measured == found["tolerance"].keys()
    suite = Tofu if name == "tofu" else Muse
    for key in measured:
        _, stream, metric = key.split("/")
        assert stream in suite.probes
        assert metric in suite.metrics
