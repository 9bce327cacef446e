"""A recipe from a stranger runs no command."""

from fractions import Fraction

import pytest

COMMAND = "touch stolen"


def good_with(folder, old: str, new: str) -> str:
    text = (folder / "good.yaml").read_text()
    assert old in text
    return text.replace(old, new)


NPO = "{name: npo, weight: 0.5, beta: 0.2}"
ADAMW = "{name: AdamW, lr: 1.0e-4}"
QA = "{name: qa, path: forget.jsonl}"
SYSTEM = f"{{class_path: os.system, init_args: {{command: {COMMAND}}}}}"
POPEN = "{class_path: subprocess.Popen, init_args: {args: [touch, stolen]}}"


@pytest.mark.parametrize("entry", [SYSTEM, POPEN, "os.system", "{name: subprocess.Popen}"])
@pytest.mark.parametrize("old", [NPO, ADAMW, QA], ids=["objective", "optimizer", "stream"])
def test_commands_are_refused(command, recipe, folder, entry, old):
    done = command("fit", "-r", recipe(good_with(folder, old, entry)))
    assert done.code == 2
    assert "is refused" in done.err
    assert not (folder / "stolen").exists()


@pytest.mark.parametrize(
    "key", ["callbacks: [%s]", "logger: %s", "strategy: %s", "plugins: [%s]", "profiler: %s"]
)
@pytest.mark.parametrize("entry", [SYSTEM, POPEN], ids=["system", "popen"])
def test_commands_in_the_trainer_are_refused(command, recipe, folder, key, entry):
    text = good_with(folder, "accelerator: cpu", f"accelerator: cpu, {key % entry}")
    done = command("fit", "-r", recipe(text))
    assert done.code == 2
    assert not (folder / "stolen").exists()


def test_commands_on_the_command_line_are_refused(command, folder):
    for flag in ("--model.optimizer", "--model.objectives.forget", "--evaluate"):
        assert command("fit", "-r", "good.yaml", flag, SYSTEM).code == 2
        assert command("fit", "-r", "good.yaml", flag, "os.system").code == 2
    assert not (folder / "stolen").exists()


def test_a_class_of_another_family_is_refused(command, recipe, folder):
    stream = "{class_path: unlearnkit.data.QAStream, init_args: {path: forget.jsonl}}"
    done = command("fit", "-r", recipe(good_with(folder, NPO, stream)))
    assert done.code == 2
    assert "is not a subclass of Objective and is refused" in done.err


def test_yaml_tags_build_nothing(command, recipe, folder):
    text = good_with(
        folder,
        "seed_everything: 7",
        f"seed_everything: !!python/object/apply:os.system ['{COMMAND}']",
    )
    done = command("fit", "-r", recipe(text))
    assert done.code == 2
    assert "recipe.yaml:1" in done.err
    assert not (folder / "stolen").exists()


def test_an_argument_of_no_type_builds_nothing(parse, recipe, folder):
    (folder / "loosely_typed.py").write_text(
        "from typing import Any\n"
        "from unlearnkit.objectives.base import Objective\n"
        "class Loose(Objective):\n"
        "    def __init__(self, weight: float = 1.0, stream: str | None = None,\n"
        "                 extra: Any = None) -> None:\n"
        "        super().__init__(weight, stream)\n"
        "        self.extra = extra\n"
        "    def forward(self, views):\n"
        "        return views[self.stream].logps.mean()\n"
    )
    inner = "{class_path: fractions.Fraction, init_args: {numerator: 3}}"
    entry = f"{{name: loosely_typed.Loose, extra: {inner}}}"
    extra = parse("-r", recipe(good_with(folder, NPO, entry))).model.objectives["forget"].extra
    assert not isinstance(extra, Fraction)


def test_a_recipe_from_the_network_is_not_fetched(command):
    done = command("fit", "-r", "http://localhost:1/recipe.yaml")
    assert done.code == 2
    assert "there is no recipe" in done.err
