"""One of each from an own file: loss, stream, suite, metric, callback, attack, edit, verb."""

import csv
import json

import pytest
from rounding import near
from stub import save_stub

OWN = '''\
from pathlib import Path

from unlearnkit.attacks import Attack
from unlearnkit.edits import Edit


class Renamed(Edit):
    """Copy a config under another name.

    Args:
        base: The model.
        name: The name that it gets.
    """

    def __init__(self, base: str, name: str = "copy") -> None:
        self.base, self.name = base, name

    def write(self, out):
        Path(out).mkdir()
        (Path(out) / "name.txt").write_text(f"{self.base} as {self.name}")
        return Path(out)


class Count(Attack):
    """Count the rows.

    Args:
        times: Factor of the count.
    """

    def __init__(self, times: int = 1) -> None:
        self.times = times

    def prepare(self, target):
        return len(target.examples)

    def run(self, base, rows, target):
        return [{"times": self.times, "forget/rows": float(rows * self.times)}]


def audit(run: str, strict: bool = False) -> None:
    """Audit a run.

    Args:
        run: Run folder.
        strict: Be strict.
    """
    print(f"audited {run} strict={strict}")
'''


@pytest.fixture
def own(folder):
    (folder / "own_tools.py").write_text(OWN)
    save_stub({"random_init": 1}, folder / "base")
    return folder


def test_an_own_edit_is_named_by_its_dotted_path(command, own):
    done = command("edit", "own_tools.Renamed", "--base", "base", "--name", "b", "--out", "made")
    assert (done.code, done.out.strip()) == (0, "made"), done.err
    assert (own / "made" / "name.txt").read_text() == "base as b"
    wrong = command("edit", "own_tools.Renamed", "--base", "base", "--nmae", "b", "--out", "new")
    assert wrong.code == 2
    assert not (own / "new").exists()
    assert "is not a subclass of Edit" in command("edit", "own_tools.audit", "--out", "x").err


def test_an_own_verb_is_a_function_whose_parameters_are_its_options(command, own):
    done = command("own_tools.audit", "runs/1", "--strict")
    assert (done.code, done.out.strip()) == (0, "audited runs/1 strict=True"), done.err
    assert "Be strict." in command("own_tools.audit", "--help").out
    assert command("own_tools.nothing").code == 2
    assert command("no_such.verb").code == 2
    (own / "broken_tools.py").write_text("def audit(:\n")
    assert "SyntaxError" in command("broken_tools.audit").err


def test_an_own_attack_keeps_its_options_beside_its_curve(command, own):
    words = ["fit", "-r", "good.yaml", "--model.base", "base", "--run_dir", "made"]
    assert command(*words).code == 0
    (run,) = (own / "made" / "good").iterdir()
    done = command("attack", str(run), "own_tools.Count", "--times", "2")
    assert done.code == 0, done.err
    kept = json.loads((run / "attacks" / "Count.json").read_text())
    assert kept["settings"] == {"times": 2}
    assert kept["curves"]["unlearned"] == [{"times": 2, "forget/rows": 6.0}]


def test_an_option_that_an_attack_does_not_read_is_refused(command, own):
    done = command("attack", "base", "prefix", "--steps", "5")
    assert done.code == 2
    assert "--steps" in done.err


STREAM = '''\
from typing import Any, NamedTuple

from unlearnkit.data import FileStream
from unlearnkit.data.rows.values import check_fields
from unlearnkit.errors import Place


class Shouted(NamedTuple):
    place: Place
    text: str


class Loud(FileStream[Shouted]):
    """Rows whose response is the prompt in capitals.

    Args:
        path: The file.
        field: Column of the prompt.
        **file: Which rows of the file, and how they are read.
    """

    def __init__(self, path: str, field: str = "prompt", **file: Any) -> None:
        super().__init__(path, **file)
        self.field = field

    def fields(self):
        return (self.field,)

    def parse(self, table):
        rows, problems = check_fields(table, {"field": self.field})
        return [Shouted(row.place, row.fields[self.field]) for row in rows], problems

    def tokenise(self, samples, codec):
        prompts = codec.prompts([each.text for each in samples])
        responses = codec.responses([each.text.upper() for each in samples])
        return ([[pair]] for pair in zip(prompts, responses, strict=True))

    def text_of(self, sample):
        return sample.text
'''
RECIPE = """\
model: {{base: tiny, objectives: {{forget: {{name: gradient_ascent}}}}}}
data: {{streams: {{forget: {{name: own_stream.Loud, path: forget.jsonl{more}}}}}}}
trainer: {{max_steps: 1, accelerator: cpu}}
"""


def test_an_own_stream_in_one_file_takes_what_a_stream_of_a_file_takes(command, own, recipe):
    (own / "own_stream.py").write_text(STREAM)
    done = command("validate", "-r", recipe(RECIPE.format(more=", limit: 2, where: {prompt: b}")))
    assert done.code == 0, done.err
    assert "supervised B</s>" in " ".join(done.out.split())
    wrong = command("validate", "-r", recipe(RECIPE.format(more=", limt: 2")))
    assert (wrong.code, "Loud has no argument 'limt'. Did you mean 'limit'?" in wrong.err) == (
        2,
        True,
    )
    typed = command("validate", "-r", recipe(RECIPE.format(more=", limit: many")))
    assert (typed.code, "a whole number or null, found 'many'" in " ".join(typed.err.split())) == (
        2,
        True,
    )
    fitted = command("fit", "-r", recipe(RECIPE.format(more="")), "--run_dir", "made")
    assert fitted.code == 0, fitted.err


PARTS = """\
import lightning as L

from unlearnkit import Objective
from unlearnkit.metrics import RowMean
from unlearnkit.suites import Probe, Suite, SuiteResult


class Twice(Objective):
    '''Twice the log-probability of the forget responses.'''

    def __init__(self, weight: float = 1.0, stream: str | None = None, factor: float = 2.0):
        super().__init__(weight, stream)
        self.factor = factor

    def forward(self, views):
        view = views[self.stream]
        return view.mean(self.factor * view.logps)


class Steps(L.Callback):
    '''Counts steps.'''

    def __init__(self, file: str):
        self.file = file

    def on_train_end(self, trainer, module):
        with open(self.file, "w") as out:
            out.write(f"{trainer.global_step} {sorted(module.objectives)}")


class Letters(RowMean):
    '''Letters of the answer.'''

    needs = ("answer",)
    keys = ("letters",)

    def per_row(self, answer):
        return [float(len(text)) for text in answer]


class Answers(Suite):
    '''Reads the forget answers.'''

    probes = {"forget": Probe("forget")}
    metrics = {"letters": Letters()}
    streams = ("forget",)

    def run(self, model, tokenizer, context):
        data = context.data["forget"]
        texts = [tokenizer.decode(each.response_ids[:-1]) for each in data.examples()]
        rows = [{"stream": "forget", "row": n, "answer": text} for n, text in enumerate(texts)]
        self.fill(rows)
        return SuiteResult(self.aggregate(rows), rows)
"""
ALL = """\
model: {base: tiny, objectives: {forget: {name: own_parts.Twice, factor: 3.0}}}
data: {streams: {forget: {name: own_stream.Loud, path: forget.jsonl}}}
trainer:
  max_steps: 2
  accelerator: cpu
  callbacks: [{name: own_parts.Steps, file: counted.txt}]
evaluate: [{name: own_parts.Answers}]
"""


def test_a_run_takes_one_of_each_part_from_own_files(command, own, recipe):
    (own / "own_parts.py").write_text(PARTS)
    (own / "own_stream.py").write_text(STREAM)
    done = command("fit", "-r", recipe(ALL), "--run_dir", "made")
    assert done.code == 0, done.err
    assert (own / "counted.txt").read_text() == "2 ['forget']"
    (run,) = (own / "made" / "recipe").iterdir()
    (suite,) = json.loads((run / "summary.json").read_text())["suites"].values()
    # The responses are the prompts a, b and c in capitals.
    assert suite["after"]["forget/letters"] == 1.0
    with (run / "metrics.csv").open() as table:
        first = next(csv.DictReader(table))
    loss, nll = float(first["train/forget"]), float(first["train/forget_nll"])
    assert loss == near(-3 * nll)
