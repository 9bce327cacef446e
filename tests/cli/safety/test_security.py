"""A recipe from a stranger runs no command."""

import sys
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


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    "text", [BOMB, "model: &a [*a]", "a: " + "[" * 10**5, "a: b\n" * 10**7], ids=range(4)
)
@pytest.mark.parametrize("verb", ["validate", "fit"])
def test_yaml_that_stands_for_too_much_is_refused(command, recipe, verb, text):
    done = command(verb, "-r", recipe(text))
    assert done.code == 2
    assert "recipe.yaml: found" in done.err


def test_modules_of_python_are_not_even_imported(command, folder):
    for module in ("antigravity", "this", "idlelib.idle"):
        done = command("fit", "-r", "good.yaml", "--model.objectives.forget", f"{module}.X")
        assert done.code == 2
        assert "is refused" in done.err
        assert module not in sys.modules


def test_own_code_is_told_by_validate(command, folder):
    (folder / "own_told.py").write_text(
        "from unlearnkit.objectives.base import Objective\n"
        "class Own(Objective):\n"
        "    def forward(self, views):\n"
        "        return views[self.stream].logps.mean()\n"
    )
    (folder / "other_told.py").write_text("raise SystemExit\n")
    done = command("validate", "-r", "good.yaml", "--model.objectives.forget", "own_told.Own")
    assert done.code == 0, done.err
    assert f"own code: own_told ({folder}/own_told.py)" in done.out + done.err
    assert "other_told" not in sys.modules
