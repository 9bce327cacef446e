"""The verbs, on the embedded model."""

import logging
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from processes import run_code

from unlearnkit.cli import console
from unlearnkit.cli.main import main
from unlearnkit.cli.quiet import quieten
from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.cli.tables import show_attack
from unlearnkit.cli.verbs.list import LISTS
from unlearnkit.objectives.base import Objective
from unlearnkit.runs import Run, load_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A run of one step."""
    folder = tmp_path_factory.mktemp("run")
    code = main(
        [
            *("fit", "--recipe", "copyright", "--run_dir", str(folder)),
            *("--trainer.max_steps", "1", "--trainer.accelerator", "cpu"),
            *("--trainer.callbacks", "[]", "--trainer.enable_progress_bar", "false"),
            *("--evaluate", "{name: copyright, limit: 2, max_new_tokens: 8}"),
        ]
    )
    assert code == 0
    (found,) = (folder / "copyright").iterdir()
    return load_run(found)


def test_fit_writes_a_run_that_says_what_was_run(run):
    assert run.summary["steps"] == 1
    assert run.summary["recipe"] == "copyright"
    assert run.recipe["trainer"]["max_steps"] == 1
    assert run.recipe["model"]["objectives"]["forget"]["weight"] > 0


def test_the_recipe_of_a_run_can_be_run_again(run, command):
    again = command("validate", "--recipe", str(run.folder / "recipe.yaml"))
    assert again.code == 0, again.err


def test_fit_prints_figures_generations_and_folder(command, folder):
    done = command(
        *("fit", "-r", "copyright", "--trainer.max_steps", "1", "--trainer.callbacks", "[]"),
        *("--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"),
        *("--evaluate", "{name: copyright, limit: 2, max_new_tokens: 8}"),
    )
    assert done.code == 0, done.err
    assert re.search(r"before +after", done.out)
    assert re.search(r"forget/rougeL_recall +\d\.\d{3} +\d\.\d{3}", done.out)
    assert re.search(r"normal/rougeL_recall +\d\.\d{3} +\d\.\d{3}", done.out)
    assert re.search(r"prompt +before +after", done.out)
    (written,) = (folder / "runs" / "copyright").iterdir()
    assert f"run folder: runs/copyright/{written.name}" in done.out


def test_validate_shows_rows_tokens_steps_and_first_rows(command):
    done = command("validate", "-r", "good.yaml", "--trainer.accumulate_grad_batches", "2")
    assert done.code == 0, done.err
    assert re.search(r"forget +forget.jsonl +3 +\d+ +0 +3", done.out)
    assert "optimiser steps per epoch: 1 " in done.out
    assert "optimiser steps in all: 1" in done.out
    said = "effective batch: 3 rows of 'forget': all of an epoch, fewer than 2 × 2 accumulated"
    assert said in done.out
    assert "forget: forget.jsonl:1" in done.out
    assert re.search(r"prompt +.*a\n", done.out)
    assert re.search(r"supervised +cd", done.out)


def test_validate_lists_choices_and_takes_the_one_that_is_named(command, folder):
    with (folder / "good.yaml").open("a") as file:
        file.write("choices:\n  rows: {all: {}, one: {data.streams.forget.limit: 1}}\n")
    done = command("validate", "-r", "good.yaml")
    assert (done.code, "choice rows: all; of all, one" in done.out) == (0, True), done.err
    done = command("validate", "-r", "good.yaml", "--rows", "one")
    assert (done.code, "choice rows: one; of all, one" in done.out) == (0, True), done.err
    assert re.search(r"forget +forget.jsonl +1 ", done.out)
    done = command("validate", "-r", "good.yaml", "--rows", "two")
    assert (done.code, "command line: rows: there is no 'two'." in done.err) == (2, True)


def test_validate_loads_no_model(command, monkeypatch):
    from transformers import AutoModelForCausalLM

    def refuse(*args, **kwargs):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", refuse)
    assert command("validate", "-r", "good.yaml").code == 0


def test_validate_counts_dropped_rows(command, folder):
    with (folder / "forget.jsonl").open("a") as file:
        file.write('{"prompt": "b", "response": ""}\n')
    assert command("validate", "-r", "good.yaml").code == 2
    done = command("validate", "-r", "good.yaml", "--data.streams.forget.on_bad_rows", "drop")
    assert done.code == 0, done.err
    assert re.search(r"forget +forget.jsonl +3 +\d+ +1 +2", done.out)


def test_data_beside_the_recipe_is_found_from_elsewhere(command, folder, monkeypatch):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert command("validate", "-r", "../good.yaml").code == 0


@pytest.mark.parametrize("what", LISTS)
def test_list(command, what):
    done = command("list", what)
    assert done.code == 0
    assert len(done.out.splitlines()) >= 1


def test_list_objectives_says_stream_needs_and_paper(command):
    done = command("list", "objectives")
    for name in Objective.registered():
        assert name in done.out
    assert "stream forget; needs reference; Zhang et al. 2024" in done.out


def test_list_recipes_is_what_fit_takes(command):
    out = command("list", "recipes").out
    assert "copyright" in shipped()
    assert all(name in out for name in shipped())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("recipe",), "Did you mean 'recipes'?"),
        (("recipes", "--all", "1"), "--all"),
    ],
)
def test_list_of_something_else(command, words, message):
    done = command("list", *words)
    assert done.code == 2
    assert message in done.err


def test_cp_copies_and_does_not_overwrite(command, folder):
    assert command("cp", "copyright", "mine.yaml").code == 0
    assert (folder / "mine.yaml").read_text() == shipped()["copyright"].read_text()
    (folder / "mine.yaml").write_text("mine")
    done = command("cp", "copyright", "mine.yaml")
    assert done.code == 2
    assert "mine.yaml exists" in done.err
    assert (folder / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize("words", [("cp", "copyrigt", "x.yaml"), ("fit", "-r", "copyrigt")])
def test_a_recipe_that_does_not_exist(command, words):
    done = command(*words)
    assert done.code == 2
    assert "Did you mean 'copyright'?" in done.err


def test_cp_into_a_folder_that_does_not_exist(command):
    done = command("cp", "copyright", "nowhere/mine.yaml")
    assert done.code == 2
    assert "cannot be written" in done.err


def test_fit_without_a_recipe(command):
    done = command("fit")
    assert done.code == 2
    assert "unlearnkit fit --recipe copyright" in done.err


def test_recipe_without_its_flag(command):
    done = command("fit", "copyright")
    assert done.code == 2
    assert "--recipe copyright" in done.err


def test_generate_against_base(command, run):
    done = command(
        *("generate", str(run.folder), "We hold these truths to be"),
        *("--against", "base", "--max_new_tokens", "4"),
    )
    assert done.code == 0, done.err
    assert done.out.index("base") < done.out.index(run.folder.name)


def test_generate_without_a_prompt_or_a_run(command, run):
    assert "the prompt is empty" in command("generate", str(run.folder), "").err
    assert command("generate", str(run.folder)).code == 2
    assert command("generate", "runs/none", "x").code == 2


@pytest.mark.parametrize("words", [(), ("true",), ("false",)])
@pytest.mark.parametrize("before", [True, False])
def test_a_switch_needs_no_value(command, monkeypatch, words, before):
    seen = []
    monkeypatch.setattr(
        "unlearnkit.runs.export", lambda *given, merge: seen.append((*given, merge))
    )
    switch, places = ("--merge", *words), ("a run", "out")
    done = command("export", *((*switch, *places) if before else (*places, *switch)))
    assert done.code == 0, done.err
    assert seen == [("a run", "out", words != ("false",))]


def test_export_loads_where_unlearnkit_is_not(command, run, folder):
    done = command("export", str(run.folder), "exported", "--merge")
    assert done.code == 0, done.err
    code = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "AutoTokenizer.from_pretrained('exported')\n"
        "print(AutoModelForCausalLM.from_pretrained('exported').num_parameters())\n"
    )
    assert int(run_code(code)) > 1e6
    assert command("export", str(run.folder), "exported").code == 2


def test_text_of_a_model_is_no_markup(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    sample = SimpleNamespace(prompt="[red]p[/red]", before="\x1b[31mb", after="[/]", reference="r")
    summary = SimpleNamespace(
        recipe="x", seed=0, steps=1, seconds=1.0, stopped_by=None, folder=Path("f"),
        suites={"s": {"before": {"forget/a": float("nan")}, "after": {"forget/a": 1.0}}},
        samples=[sample], report=None, notes={},
    )  # fmt: skip
    console.show_summary(summary)
    console.show_generations([("m[b]", "\x1b]0;title\x07[bold]x[/bold]")])
    out = capsys.readouterr().out
    assert "\x1b]" not in out
    assert "\x1b[31m" not in out
    for shown in ("[red]p[/red]", r"\x1b[31mb", "[/]", r"\x1b]0;title\x07[bold]x[/bold]"):
        assert shown in out


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_word_is_lost_at_any_width(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = "one two three four five six seven eight nine ten " + "q" * 40
    sample = SimpleNamespace(prompt=text, before=text, after=text, reference=text)
    figures = {"forget/exact_memorization": 1.0}
    summary = SimpleNamespace(
        recipe="x", seed=0, steps=1, seconds=1.0, stopped_by=None, folder=Path("f"),
        suites={"s": dict.fromkeys(("before", "after", "gold"), figures)},
        samples=[sample], report=None, notes={},
    )  # fmt: skip
    console.show_summary(summary)
    out = capsys.readouterr().out
    assert [out.count(word) for word in text.split()[:10]] == [4] * 10
    assert out.count("q") == 4 * 40  # a word that is wider than its column


@pytest.mark.parametrize("show", ["summary", "example"])
def test_the_end_of_a_long_prompt_is_shown(capsys, monkeypatch, show):
    """Prompts of a chat template begin alike; what is asked stands at their end."""
    monkeypatch.setenv("COLUMNS", "300")
    prompt = "system\n" + "You are a helpful assistant. " * 9 + "\nuser\nWho wrote it?\nassistant\n"
    if show == "example":
        console.show_example("forget", "forget.jsonl:1", ([1], prompt), ([2], "Ann Lee."))
    else:
        sample = SimpleNamespace(prompt=prompt, before="a", after="b", reference="c")
        summary = SimpleNamespace(
            recipe="x", seed=0, steps=1, seconds=1.0, stopped_by=None, folder=Path("f"),
            suites={}, samples=[sample], report=None, notes={},
        )  # fmt: skip
        console.show_summary(summary)
    shown = " ".join(capsys.readouterr().out.split())
    assert "system⏎You" in shown
    assert " ... " in shown
    assert "⏎user⏎Who wrote it?⏎assistant⏎" in shown.replace("it? ⏎", "it?⏎")


def test_a_run_without_suites_shows_no_empty_table(capsys):
    summary = SimpleNamespace(
        recipe="x", seed=0, steps=1, seconds=1.0, stopped_by=None, folder=Path("f"), suites={},
        samples=[], report=Path("f/report.html"), notes={},
    )  # fmt: skip
    console.show_summary(summary)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "1 steps in 1 s"
    assert shown[-2:] == ["run folder: f", "report: f/report.html"]
    assert " ".join(shown[1:-2]) == (
        "no suite was run, so what it forgot and what it cost is not known: add evaluate: "
        "[copyright] to the recipe, or unlearnkit evaluate f --suite copyright"
    )


@pytest.mark.parametrize("attack", ["relearn", "prefix"])
def test_an_attack_says_which_rows_it_trained_on(capsys, attack):
    names = ["trained/nll", "others/nll"] if attack == "relearn" else ["forget/nll"]
    curve = [{"step": 0, **dict.fromkeys(names, 1.0)}]
    found = SimpleNamespace(
        attack=attack,
        curves={"unlearned": curve},
        created="now",
        notes=(),
        changed={},
        figures={"comes back": 0.25},
    )
    show_attack(SimpleNamespace(attack=found, reused=False, path=Path("f.json")))
    shown = capsys.readouterr().out
    said = re.findall(r"^(\w+): ", shown, flags=re.M)
    assert said == (["trained", "others"] if attack == "relearn" else [])
    assert "comes back: 0.250" in shown


def test_an_attack_with_many_measurements_is_a_table_of_lines(capsys):
    names = [f"relearn lr=0.0003 lora=8 data=domain, step {i}" for i in range(30)]
    curve = [{"cell": n, "forget/a": i / 100, "forget/b": None} for i, n in enumerate(names)]
    found = SimpleNamespace(
        attack="grid",
        curves={"unlearned": curve, "gold": [{**each, "forget/a": 0.5} for each in curve]},
        created="now",
        notes=(),
        changed={},
        figures={},
    )
    show_attack(SimpleNamespace(attack=found, reused=False, path=Path("f.json")))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    line = next(each for each in shown.splitlines() if "step 7 " in each)
    assert line.split()[-2:] == ["0.070", "0.500"]
    assert "forget/b" not in shown  # nothing was measured


def test_a_warning_is_said_once_wherever_it_comes_from(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        quieten()
        warnings.simplefilter("always")
        for level in (1, 2, 1):
            warnings.warn("no rows", stacklevel=level)
        warnings.warn("no room", stacklevel=1)
    assert capsys.readouterr().err.splitlines() == ["warning: no rows", "warning: no room"]


def test_what_is_logged_begins_with_how_bad_it_is(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    quieten()
    for level in (logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("unlearnkit.runs").log(level, "a process is gone")
    said = capsys.readouterr().err.splitlines()
    assert said == ["warning: a process is gone", "error: a process is gone"]
