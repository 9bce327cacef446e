"""Options that the others leave without effect are refused, whatever their values."""

from __future__ import annotations

import inspect
import json

import pytest
from stub import save_stub

from unlearnkit.edits import Edit
from unlearnkit.runs.folder import RunSummary

ECO = ("eco", "--base", "nowhere", "--forget", "nowhere", "--retain", "nowhere")
O3 = ("o3", "--base", "nowhere", "--adapter", "nowhere")
ENCODER = ("o3_encoder", "--encoder", "nowhere", "--base", "nowhere", "--adapter", "nowhere")
LUNAR = ("lunar", "--base", "nowhere", "--forget", "f", "--retain", "r", "--refuse", "q")
LABELS = ("whp_labels", "--base", "nowhere", "--reinforced", "nowhere")
ADD = ("add", "--base", "nowhere", "--tuned", "nowhere")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            (*ECO, "--corruption", "zero_out_top_k", "--strength", "1.0", "--seed=0"),
            ["--strength, --seed: have no effect with --corruption zero_out_top_k"],
        ),
        (
            (*ECO, "--corruption", "reverse_order", "--dims", "1", "--tolerance", "0.02"),
            [
                "--dims: has no effect with --corruption reverse_order",
                "--tolerance: has no effect without --search",
            ],
        ),
        (
            (*ECO, "--classifier", "nowhere", "--layers", "1", "--metric", "rougeL"),
            [
                "--layers: has no effect with --classifier",
                "--metric: has no effect without --search",
            ],
        ),
        (
            (*ECO, "--search_steps", "10", "--search_rate", "3", "--surrogate", "0.1"),
            ["--surrogate, --search_rate, --search_steps: have no effect without --search"],
        ),
        (
            (*ECO, "--surrogate_model", "m", "--surrogate_rows", "r"),
            ["--surrogate_model, --surrogate_rows: have no effect without --search"],
        ),
        (
            (*O3, "--gate", "tofu", "--threshold", "0.5", "--seed", "0"),
            [
                "--threshold: has no effect with --gate tofu",
                "--seed: has no effect without --heldout",
            ],
        ),
        (
            (*ENCODER, "--choose_by", "gate", "--template", "{prompt}", "--prompt_field", "q"),
            ["--choose_by, --prompt_field, --template: have no effect without --others"],
        ),
        ((*LUNAR, "--layer", "1", "--lr", "0.01"), ["--lr: has no effect without --epochs"]),
        (
            (*LUNAR, "--layer=1", "--epochs=2", "--ridge=0", "--retain_weight=1"),
            ["--retain_weight, --ridge: have no effect with --epochs"],
        ),
        ((*LABELS, "--lowered", "2"), ["--lowered: has no effect without --dictionary"]),
        (
            (*ADD, "--density", "1", "--seed", "0"),
            ["--density, --seed: have no effect with --method linear"],
        ),
        (
            (*ADD, "--method", "ties", "--seed", "3"),
            ["--seed: has no effect with --method ties"],
        ),
    ],
)
def test_all_of_them_are_told_before_anything_is_read(command, words, said):
    done = command("edit", *words, "--out", "made")
    assert done.code == 2
    found = [line.strip("│ ").rstrip() for line in done.err.splitlines()]
    assert [line for line in found if "no effect" in line] == said
    assert ("Leave them out." if "," in done.err or len(said) > 1 else "Leave it out.") in done.err
    assert "nowhere" not in done.err


@pytest.mark.parametrize(
    "words",
    [
        (*ECO, "--strength", "1", "--dims", "1", "--seed", "0", "--layers", "1"),
        (*ECO, "--corruption", "shuffle", "--seed", "1"),
        (*O3, "--heldout", "0.2", "--seed", "1", "--threshold", "0.5"),
        (*ENCODER, "--others", "o", "--heldout", "0.2", "--choose_by", "gate", "--template", "{}"),
        (*ADD, "--method", "dare_ties", "--density", "0.5", "--seed", "1"),
        (*LABELS, "--dictionary", "d", "--lowered", "2"),
        (*LUNAR, "--layer", "1", "--epochs", "2", "--lr", "0.01", "--seed", "1"),
        (*ECO, "--layers", "null", "--search_rate", "null"),
    ],
)
def test_what_has_an_effect_is_let_pass(command, words):
    done = command("edit", *words, "--out", "made")
    assert done.code == 2
    assert "no effect" not in done.err


OWN = '''\
from pathlib import Path

from unlearnkit.edits import Edit


class Greet(Edit):
    """Write a greeting.

    Args:
        text: It.
        loud: In capitals.
        marks: How many exclamation marks follow, if it is loud.
    """

    def __init__(self, text: str, loud: bool = False, marks: int = 1) -> None:
        self.text, self.loud, self.marks = text, loud, marks

    @property
    def without_effect(self):
        return {} if self.loud else {"marks": "without --loud"}

    def write(self, out):
        self.refuse_without_effect()
        Path(out).write_text(self.text.upper() + "!" * self.marks if self.loud else self.text)
        return Path(out)
'''


def test_an_own_edit_says_it_too(command, folder):
    (folder / "own_greeting.py").write_text(OWN)
    words = ("edit", "own_greeting.Greet", "--text", "hi", "--out", "hi.txt")
    done = command(*words, "--marks", "1")
    assert done.code == 2
    assert "--marks: has no effect without --loud" in done.err
    assert command(*words, "--loud", "--marks", "2").code == 0
    assert (folder / "hi.txt").read_text() == "HI!!"


def test_every_argument_that_may_have_none_is_an_attribute():
    """From Python an edit's own values are compared with the defaults."""
    known = Edit.registered()
    for name, given in {
        "eco": {"corruption": "shuffle", "classifier": "c"},
        "o3": {"gate": "tofu"},
        "o3_encoder": {},
        "lunar": {"layer": 0},
        "whp_labels": {},
        "add": {},
    }.items():
        parameters = inspect.signature(known[name]).parameters
        needed = {key: ["x"] if key in ("adapter", "tuned") else "x"
                  for key, each in parameters.items()
                  if each.default is each.empty and key not in given}  # fmt: skip
        made = known[name](**needed, **given)
        assert made.without_effect
        for key in made.without_effect:
            assert getattr(made, key) == parameters[key].default
        made.refuse_without_effect()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("sample", "-r", "good.yaml", "--model", "tiny", "--prompt_field", "prompt"),
            "--model, --prompt_field: have no effect with --recipe",
        ),
        (
            ("fit", "-r", "good.yaml", "--resume_with_changes"),
            "--resume_with_changes: has no effect without --ckpt_path",
        ),
        (
            ("validate", "-r", "good.yaml", "--ckpt_path", "last", "--resume_with_changes"),
            "--resume_with_changes, --ckpt_path: have no effect on validate",
        ),
        (
            ("plan", "-r", "good.yaml", "--gpu", "h100", "--ckpt_path", "last"),
            "--ckpt_path: has no effect on plan",
        ),
        (
            ("sample", "-r", "good.yaml", "--ckpt_path", "last"),
            "--ckpt_path: has no effect on sample",
        ),
        (
            ("tune", "-r", "good.yaml", "--ckpt_path", "last", "--print_recipe"),
            "--print_recipe, --ckpt_path: have no effect on tune",
        ),
        (
            ("plan", "-r", "good.yaml", "--gpu", "h100x8x2", "--trainer.devices", "4"),
            "--trainer.devices: has no effect with --gpu h100x8x2",
        ),
        (
            ("attack", "tiny", "relearn", "--forget", "f", "--at", "5", "--every", "5"),
            "--every: has no effect with --at",
        ),
        (
            ("attack", "tiny", "prefix", "--forget", "forget.jsonl", "--normal", "retain.jsonl"),
            "--normal: has no effect on this attack",
        ),
        (
            ("generate", "tiny", "ab", "--template", "t", "--template_arguments", "{a: 1}"),
            "--template, --template_arguments: have no effect without --chat",
        ),
        (
            ("generate", "tiny", "ab", "--chat", "false", "--template", "t"),
            "--template: has no effect without --chat",
        ),
        (
            ("compare", "nowhere", "--format", "xml"),
            "--format: expected table, md, csv, json, latex, found 'xml'",
        ),
    ],
)
def test_of_other_verbs_too(command, monkeypatch, words, said):
    monkeypatch.setattr("unlearnkit.models.load.load_whole", None)
    done = command(*words)
    assert done.code == 2
    assert said in done.err


def test_a_gpu_without_numbers_takes_those_of_the_command_line(command):
    words = ("plan", "-r", "good.yaml", "--trainer.devices", "2", "--format", "json")
    assert "has no effect" not in command(*words, "--gpu", "h100").err


@pytest.fixture
def no_template(folder):
    save_stub({"random_init": 2}, folder / "plain")
    return "plain"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--template", "tool_use"), "--template: has no effect without a chat template"),
        (
            ("--template", "t", "--template_arguments", "{a: 1}"),
            "--template, --template_arguments: have no effect without a chat template",
        ),
        (("--system", "d"), "--system: plain has no chat template to put it into"),
    ],
)
def test_a_chat_without_a_template_refuses_it_before_a_model_is_loaded(
    command, monkeypatch, no_template, words, said
):
    monkeypatch.setattr("unlearnkit.cli.conversation.load_model", None)
    done = command("chat", no_template, *words)
    assert done.code == 2
    assert said in done.err


@pytest.fixture
def runs(folder):
    """Two finished runs, as far as they are read before anything is compared."""
    for name in ("one", "two"):
        save_stub({"random_init": 1}, folder / name / "model")
        summary = RunSummary("r", 0, 1, None, folder / name).as_json()
        (folder / name / "summary.json").write_text(json.dumps(summary))
        recipe = (folder / "good.yaml").read_text()
        lengthy = recipe.replace("  batch_size: 2\n", "  batch_size: 2\n  max_length: 100\n")
        (folder / name / "recipe.yaml").write_text(lengthy)
    return "one", "two"


def test_runs_have_measured_their_own_beginning(command, runs):
    done = command("compare", *runs, "--before", "tiny")
    assert done.code == 2
    assert "--before: has no effect on runs, which have measured their own" in done.err


def test_the_longest_sequence_of_a_run_may_be_another(command, runs, monkeypatch):
    lengths = []

    def kept(*words, context, **more):
        lengths.append(context.max_length)
        return []

    monkeypatch.setattr("unlearnkit.runs.evaluate.evaluate", kept)
    suite = ("--suite", "{name: copyright, forget: forget.jsonl, normal: retain.jsonl}")
    for more in ((), ("--max_length", "64")):
        done = command("evaluate", "one", *suite, *more, "--gold", "none")
        assert done.code == 0, done.err
        done = command("evaluate", "one/model", *suite, *more)
        assert done.code == 0, done.err
    assert lengths == [100, 512, 64, 64]
