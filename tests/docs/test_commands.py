"""Every command and every piece of code of README and documentation, on the embedded model.

Commands run. ``fit`` is checked by ``validate``, which reads recipe, overrides and data; recipes
that ship are trained by ``tests/recipes``. What cannot run on any laptop is parsed:

* lines with places to be filled in, such as ``RUN``, and the code that goes on from their output;
* models of a hub, and GPUs: the recipe is built to the last object, and nothing is loaded;
* benchmarks, which take minutes, and have tests of their own.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NoReturn

import pytest
import yaml
from fences import LANGUAGES, PAGES, PLACE, ROOT, blocks, every_block, shell_lines, written

from unlearnkit.cli.main import run
from unlearnkit.cli.recipe.build_phases import recipe_of
from unlearnkit.cli.recipe.choices import SECTIONS
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import read_command_line
from unlearnkit.cli.recipe.shipped import find
from unlearnkit.cli.verbs.base import VerbParser
from unlearnkit.errors import RecipeError
from unlearnkit.objectives import Objective
from unlearnkit.registry import PLUGIN_GROUP

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RUN = re.compile(r"runs/\w+(/(?!\d{4}-)\w+)?(/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)?")
HUB = re.compile(r"\b(HuggingFaceTB|meta-llama|PKU-Alignment)/")
# Pages whose recipes are of models that are not here.
OF_THE_HUB = ("scale", "published")
LAUNCHER = re.compile(r"^(torchrun|srun) .*?unlearnkit ")
WITH_COMMANDS = [page for page in PAGES if shell_lines(page)]
# The blocks of one page go on from each other: test_from_python.py runs them together.
ALONE = [page for page in PAGES if page.stem != "from-python"]
CODE = [(page, code) for page in ALONE for code in blocks(page, "python")]
RECIPES = [(page, code) for page in PAGES for code in blocks(page, "yaml")]


class Parsed(Exception):
    """Raised in place of what a command would go on to do."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("finished")
    steps = ["--trainer.max_steps", "2", "--evaluate", "[{name: copyright, limit: 2}]"]
    run(["fit", "--recipe", "copyright", *steps, "--run_dir", str(folder)])
    return next((folder / "copyright").iterdir())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_block_is_passed_over(page) -> None:
    for language, code in every_block(page):
        assert language in LANGUAGES, f"{language}: say how it is tested\n{code}"
    indented = re.findall(
        r"^ {4,}(?:```|python |pip |unlearnkit |import |from ).*", written(page), flags=re.M
    )
    fenced = "".join(code for _, code in every_block(page))
    assert [line for line in indented if line not in fenced] == []


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_commands_are_carried_out(page, finished, here, monkeypatch) -> None:
    run(["cp", "copyright", "mine.yaml"])
    run(["new", "objective", "my_losses.py"])
    if page.stem == "from-start-to-end":
        for name, code in zip(("teach", "forget"), blocks(page, "yaml"), strict=False):
            Path(f"{name}.yaml").write_text(code)
    if page.stem == "phases":
        Path("mine.yaml").write_text(blocks(page, "yaml")[0])
    if page.stem == "tune":
        whole = yaml.safe_load(find("tiny_tofu/npo").read_text("utf-8"))
        Path("mine.yaml").write_text(
            yaml.safe_dump(whole | yaml.safe_load(blocks(page, "yaml")[0]))
        )
    if page.stem == "recipes":
        whole = yaml.safe_load(Path("mine.yaml").read_text("utf-8"))
        (part,) = (each for each in blocks(page, "yaml") if "choices:" in each)
        Path("mine.yaml").write_text(
            yaml.safe_dump(whole | {"choices": yaml.safe_load(part)["choices"]})
        )
    for line in shell_lines(page):
        program, *words = shlex.split(LAUNCHER.sub("unlearnkit ", line))
        assert program in PROGRAMS, f"{line}: say how it is tested"
        if program == "unlearnkit":
            if not _places(words):
                words = [RUN.sub(str(finished), word) for word in words]
            _unlearnkit(page, words, finished, monkeypatch)
        else:
            PROGRAMS[program](words, monkeypatch)


def _unlearnkit(page: Path, words: list[str], finished: Path, monkeypatch) -> None:
    verb, *words = words
    if verb in ("fit", "validate"):
        _recipe(page, words)
    elif _places(words) or "--expected" in words or HUB.search(" ".join(words)):
        _only_parsed(lambda: run([verb, *words]), VerbParser, monkeypatch)
    elif verb == "tune":
        with monkeypatch.context() as patched:
            patched.setattr("unlearnkit.cli.verbs.tune._folders", _stop)
            with pytest.raises(Parsed):
                run([verb, *words])
    elif verb in ("cp", "new"):
        target = Path(words[-1])
        for made in (target, target.with_name(f"test_{target.name}")):
            made.unlink(missing_ok=True)
        run([verb, *words])
    elif verb == "attack":
        short = ["--steps", "1"] if "relearn" in words else []
        run([verb, *words, *short, "--limit", "2"])
    else:
        runs = str(finished.parents[1])
        run([verb, *(runs if word == "growing" else word for word in words)])


def _recipe(page: Path, words: list[str]) -> None:
    """Reads, builds and checks a recipe; its data and tokenizer too, where they are here."""
    if "--ckpt_path" in words:
        place = words.index("--ckpt_path")
        words = words[:place] + words[place + 2 :]
    if "--print_recipe" in words:
        with pytest.raises(SystemExit, match=r"^0$"):
            run(["validate", *words])
    elif _places(words) or HUB.search(" ".join(words)) or page.stem in OF_THE_HUB:
        line = read_command_line([word.replace("gpu", "cpu") for word in words])
        document = read([find(each) for each in line.recipes])
        try:
            recipe_of(document, line.overrides, "validate", False)
        except RecipeError as error:
            of_places = any(place.strip("[]") in str(error) for place in _places(words))
            if not of_places or "mistakes" in str(error):
                raise
    else:
        run(["validate", *words])


def _stop(*_: object) -> NoReturn:
    raise Parsed


def _only_parsed(command, parser: type, monkeypatch) -> None:
    parse = parser.parse_args

    def stop(self, *arguments, **options) -> NoReturn:
        parse(self, *arguments, **options)
        raise Parsed

    with monkeypatch.context() as patched:
        patched.setattr(parser, "parse_args", stop)
        with pytest.raises(Parsed):
            command()


def _places(words: list[str]) -> list[str]:
    return [word for word in words if PLACE.fullmatch(word)]


def _python(words: list[str], monkeypatch) -> None:
    if words == ["docs/generate.py"]:  # its pages are compared by test_docs
        assert (ROOT / words[0]).is_file()
        return
    assert words[0] == "-m"
    assert words[1].startswith("benchmarks.")
    name = words[1]
    if (ROOT / name.replace(".", "/")).is_dir():
        name = f"{name}.__main__"
    module = importlib.import_module(name)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "argv", [words[1], *words[2:]])
        _only_parsed(module.main, argparse.ArgumentParser, monkeypatch)


def _pip(words: list[str], monkeypatch) -> None:
    pinned = re.findall(r"^[\w-]+(?===)", (ROOT / "constraints.txt").read_text("utf-8"), flags=re.M)
    verb, name, *options = words
    assert verb == "install"
    assert options in ([], ["-c", "constraints.txt"])
    package, _, extra = name.rstrip("]").partition("[")
    if package in (PROJECT["name"], "."):  # by its name, or in a clone
        assert not extra or extra in PROJECT["optional-dependencies"]
    else:
        assert package in pinned


def _make(words: list[str], monkeypatch) -> None:
    rules = (ROOT / "Makefile").read_text("utf-8")
    assert all(re.search(rf"^{target}:", rules, flags=re.M) for target in words)


def _pytest(words: list[str], monkeypatch) -> None:
    assert all(Path(each).is_file() for each in words)


def _sh(words: list[str], monkeypatch) -> None:
    """A script that lies there, and that the shell can read."""
    subprocess.run(["sh", "-n", ROOT / words[0]], check=True)


PROGRAMS = {
    "unlearnkit": None,
    "python": _python,
    "pip": _pip,
    "make": _make,
    "sh": _sh,
    "pytest": _pytest,  # what it tests is of the page's own making, see tests/cli/verbs/test_new.py
}


@pytest.mark.parametrize(("page", "code"), CODE, ids=lambda each: getattr(each, "stem", ""))
def test_python_runs(page, code, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree = ast.parse(code, page.name)
    if any(
        isinstance(each, ast.Constant) and PLACE.fullmatch(str(each.value))
        for each in ast.walk(tree)
    ):
        tree.body = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
        assert tree.body
    exec(compile(tree, page.name, "exec"), {"__name__": page.stem})


@pytest.mark.parametrize(("page", "code"), RECIPES, ids=lambda each: getattr(each, "stem", ""))
def test_recipes_are_accepted(page, code, here) -> None:
    """A part of a recipe is laid over the shipped one."""
    for own in set(re.findall(r"\b(my_\w+)\.", code)):
        Path(f"{own}.py").write_text("\n".join(blocks(page, "python")))
    part = yaml.safe_load(code.replace("accelerator: gpu", "accelerator: cpu"))
    if not part.keys() & set(SECTIONS):
        objectives = {each["name"] for each in part.values()} <= Objective.registered().keys()
        part = {"model": {"objectives": part}} if objectives else {"data": {"streams": part}}
    if "model" not in part and "data" in part:
        shipped = yaml.safe_load(find("copyright").read_text("utf-8"))
        part["data"]["streams"] = shipped["data"]["streams"] | part["data"].get("streams", {})
    Path("part.yaml").write_text(yaml.safe_dump(part))
    recipe_of(read([find("copyright"), Path("part.yaml")]), (), "validate", False)


def test_entry_points_are_those_that_are_read() -> None:
    for page in PAGES:
        for code in blocks(page, "toml"):
            (group,) = tomllib.loads(code)["project"]["entry-points"]
            assert group == PLUGIN_GROUP
