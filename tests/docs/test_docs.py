"""The documentation says what the code does."""

import importlib.util
import re
from pathlib import Path

import pytest

from unlearnkit.cli.main import main
from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.build_phases import recipe_of
from unlearnkit.cli.recipe.check import SECTIONS
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.cli.recipe.signature import accepted
from unlearnkit.cli.templates import TEMPLATES
from unlearnkit.cli.verbs import list as listing
from unlearnkit.engine.generation.generate import generate as generate_text
from unlearnkit.metrics import UnlearningMetric
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.objectives import Objective

DOCS = Path(__file__).parents[2] / "docs"


def load_generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_generator()


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_parts_are_up_to_date(name):
    text = page(name)
    assert "<!-- generated:" in text
    assert generate.generated(text) == text, "run: python docs/generate.py"


def test_the_table_has_every_objective_that_is_listed():
    listed = {name: (what, remark) for name, what, remark in listing.rows("objectives")}
    own = {n for n, c in Objective.registered().items() if c.__module__.startswith("unlearnkit.")}
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (.*?) \| .*? \| .*? \| (.*?) \|", page("methods.md"), re.M
    )
    assert {name for name, *_ in rows} == own
    for name, what, streams, paper in rows:
        assert listed[name][0] == what
        assert re.match(r"streams? ([\w, ]+)", listed[name][1])[1] == streams.replace("`", "")
        assert paper in listed[name][1]


def test_every_metric_that_is_listed_has_an_entry():
    sections = re.findall(
        r"^### (\w+) \{#\w+\}\n\n(.+?)(?=\n### |\n<!-- end)", page("metrics.md"), re.M | re.S
    )
    entries = dict(sections)
    assert len(entries) == len(sections)
    metrics = UnlearningMetric.registered()
    own = {
        n for n, _, _ in listing.rows("metrics") if metrics[n].__module__.startswith("unlearnkit.")
    }
    assert set(entries) == own
    for name, entry in entries.items():
        cls = metrics[name]
        assert entry.startswith(f"{cls.definition()}\n\n$${cls.formula}$$")
        rows = dict(re.findall(r"^\| ([A-Z][\w ]+) \| (.+) \|$", entry, re.M))
        expected = (cls.value_range, str(cls.direction or "none"), cls.good, cls.source)
        assert tuple(rows.values())[:4] == expected
        assert all(rows.values())


def test_every_method_has_a_section():
    sections = re.findall(r"<!-- generated: method (.+?) -->", page("methods.md"))
    names = [f"methods/{name}" for section in sections for name in section.split()]
    assert sorted(names) == [name for name in shipped() if name.startswith("methods/")]


def test_the_tutorial_shows_what_validate_prints(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["validate", "--recipe", "copyright"]) == 0
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    block = re.search(r"^```text\n(.+?)^```$", page("tutorial.md"), re.M | re.S)[1]
    block = block.replace("mine.yaml", "copyright")  # of which it is a copy
    shown = [" ".join(line.removesuffix("...").split()) for line in block.splitlines()]
    assert [line for line in shown if not any(each.startswith(line) for each in printed)] == []
    assert printed[: len(shown[:-5])] == shown[:-5]


def test_the_model_before_recites_what_the_tutorial_asks_it():
    prompt = re.search(
        r'^unlearnkit generate \S+ "(.+)" --against base$', page("tutorial.md"), re.M
    )
    assert prompt
    model, tokenizer = load_model("tiny"), load_tokenizer("tiny")
    (said,) = generate_text(model, tokenizer, [tokenizer(prompt[1]).input_ids], max_new_tokens=40)
    book = (DOCS.parent / "unlearnkit" / "tiny" / "book.jsonl").read_text(encoding="utf-8")
    assert prompt[1] + said.text in book
    shown = re.search(r"─ base ─+╮\n(.+?)╰", page("tutorial.md"), re.S)[1]
    assert said.text.split() == re.sub("│", "", shown).split()[: len(said.text.split())]


def test_the_loss_of_the_page_is_the_one_of_the_command():
    code = TEMPLATES["objective"].code.format(module="my_losses").partition("\n\n")[2]
    assert code in page("own-loss.md")


def test_the_recipe_of_the_page_is_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = re.search(r"```yaml\n(seed_everything.*?)```", page("recipes.md"), re.S)[1]
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert set(RecipeCLI(read([path])).model.objectives) == {"forget", "retain"}


def test_the_phases_of_the_page_are_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe, requests = re.findall(r"```yaml\n((?:model|requests).*?)```", page("phases.md"), re.S)[
        :2
    ]
    path = tmp_path / "mine.yaml"
    path.write_text(recipe)
    assert list(recipe_of(read([path]), (), "fit", False).clis) == ["forget", "repair"]
    names = [f"{name}.jsonl" for name in ("ada", "bo", "cy")]
    for name in names:
        (tmp_path / name).write_text('{"text": "a"}')
    common = recipe.partition("phases:")[0] + "trainer: {max_steps: 1}\n"
    objectives = "  objectives: {forget: npo, retain: retain_nll}\n"
    path.write_text(common.replace("data:", f"{objectives}data:", 1) + requests)
    assert list(recipe_of(read([path]), (), "fit", False).clis) == ["ada", "bo", "cy"]


def test_the_keys_of_the_page_exist():
    keys = re.findall(r"^\| (`.+?`) \|", page("recipes.md").partition("## Overrides")[0], re.M)
    named = [key.strip("` ").split(".") for each in keys for key in each.split(",")]
    below = [(section, key[0]) for section, *key in named if key]
    assert len(below) >= 10
    for section, key in below:
        assert key in accepted(SECTIONS[section])


def test_the_picture_of_the_architecture_is_that_of_the_imports():
    spec = importlib.util.spec_from_file_location(
        "architecture", DOCS.parent / "tools/architecture.py"
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    ranks = {room: rank for rank, tier in enumerate(tool.TIERS) for room in tier}
    assert all(ranks[above] < ranks[below] for above, below in tool.imports())
    assert tool.PICTURE.read_text(encoding="utf-8") == tool.drawn()
