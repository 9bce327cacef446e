"""`evaluate`, `compare` and `attack` on the embedded model and a run of one step."""

from __future__ import annotations

import csv
import io
import json
import shutil

import pytest
from rounding import near

from unlearnkit.cli.main import main
from unlearnkit.models.base import as_base_model
from unlearnkit.runs import load_run

SMALL = "{name: copyright, limit: 2, max_new_tokens: 4}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of a recipe that differ in the seed, and one of another weight."""
    folder = tmp_path_factory.mktemp("runs")
    for options in (
        ("--seed_everything", "1"),
        ("--seed_everything", "2"),
        ("--model.objectives.forget.weight", "0.9"),
    ):
        code = main(
            [
                *("fit", "--recipe", "copyright", "--run_dir", str(folder), *options),
                *("--trainer.max_steps", "1", "--trainer.accelerator", "cpu"),
                *("--trainer.callbacks", "[]", "--trainer.enable_progress_bar", "false"),
                *("--evaluate", SMALL),
            ]
        )
        assert code == 0
    return [load_run(each).folder for each in sorted((folder / "copyright").iterdir())]


def results(folder, name="copyright"):
    return json.loads((folder / f"{name}.json").read_text())


def test_figures_intervals_and_rows_are_kept(command, folder):
    done = command("evaluate", "tiny", "--suite", SMALL, "--reference", "tiny/gold")
    assert done.code == 0, done.err
    kept = results(folder / "evaluations" / "tiny")
    assert kept["model"]["name"] == "tiny"
    assert set(kept["intervals"]) == set(kept["values"])
    for name, value in kept["values"].items():
        low, high = kept["intervals"][name]
        assert low <= value <= high
        assert name in done.out
    assert kept["values"]["normal/kl_to_reference"] > 0
    rows = (folder / "evaluations/tiny/copyright.rows.jsonl").read_text().splitlines()
    assert {json.loads(row)["stream"] for row in rows} == {
        "forget", "normal", "heldout", "neighbour",
    }  # fmt: skip


def test_only_results_of_the_same_everything_are_shown_again(command, folder):
    words = ("evaluate", "tiny", "--suite", SMALL)
    assert command(*words).code == 0
    first = results(folder / "evaluations" / "tiny")
    again = command(*words)
    assert "unchanged since" in again.out
    assert results(folder / "evaluations" / "tiny") == first
    # Rows that somebody changed are not those that the figures were worked out from.
    rows = folder / "evaluations/tiny/copyright.rows.jsonl"
    rows.write_text(rows.read_text().replace("forget", "Forget"))
    assert "unchanged since" not in command(*words).out
    for changed in (
        (*words, "--seed", "1"),
        (*words, "--max_length", "500"),
        ("evaluate", "tiny/gold", "--suite", SMALL, "--out", "evaluations/tiny"),
        ("evaluate", "tiny", "--suite", SMALL.replace("2", "3")),
        (*words, "--reference", "tiny"),
    ):
        done = command(*changed)
        assert done.code == 0, done.err
        assert "unchanged since" not in done.out


def test_what_is_left_out_is_said_with_its_reason(command):
    done = command("evaluate", "tiny", "--suite", SMALL)
    assert "left out: normal/kl_to_reference (no reference" in done.out
    done = command("evaluate", "tiny", "--suite", "{name: muse, data: nowhere/muse.json}")
    assert done.code == 2


def test_several_suites_each_have_their_file(command, folder):
    done = command("evaluate", "tiny", "--suite", SMALL, f"--suite={SMALL.replace('2', '3')}")
    assert done.code == 0, done.err
    found = {path.name for path in (folder / "evaluations/tiny").glob("*.json")}
    assert found == {"copyright.json", "copyright-2.json"}


def test_a_run_brings_its_suites_streams_reference_and_gold(command, runs):
    done = command("evaluate", str(runs[0]))
    assert done.code == 0, done.err
    kept = results(runs[0] / "evaluation")
    assert "normal/kl_to_reference" in kept["values"]
    assert kept["model"]["name"] == str(runs[0] / "model")
    # What fit found of the same model by the same suite.
    after = load_run(runs[0]).summary["suites"]["copyright"]["after"]
    assert kept["values"] == near(after)
    recipe = load_run(runs[0]).recipe
    assert (recipe["gold"] is None) == (not (runs[0] / "evaluation" / "gold").exists())


def test_a_copied_folder_is_evaluated_as_any_model(command, folder, runs):
    shutil.copytree(runs[0] / "model", folder / "mine")
    done = command("evaluate", "mine", "--suite", SMALL)
    assert done.code == 0, done.err
    assert (folder / "evaluations/mine/copyright.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tiny",), "no suite is given"),
        (("tiny", "--suite", "copyrigt"), "Did you mean 'copyright'?"),
        (("tiny", "--suite", "{name: copyright, limt: 2}"), "limt"),
        (("nowhere/at/all", "--suite", "copyright"), "there is no folder nowhere/at/all"),
        (("tiny", "--suite", SMALL, "--batch_size", "0"), "--batch_size: expected at least 1"),
        (("tiny", "--suite", "tofu"), "TOFU"),
    ],
)
def test_mistakes_are_named(command, words, said):
    done = command("evaluate", *words)
    assert done.code == 2
    assert said in done.err


@pytest.fixture
def other_ids(folder):
    """The embedded gold model with a tokenizer in which two tokens have changed places."""
    shutil.copytree(as_base_model("tiny/gold").path, folder / "other")
    file = folder / "other" / "tokenizer.json"
    kept = json.loads(file.read_text())
    vocab = kept["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    file.write_text(json.dumps(kept))
    return "other"


@pytest.mark.parametrize("option", ["gold", "reference"])
def test_a_model_beside_needs_the_same_ids(command, folder, runs, other_ids, option, monkeypatch):
    for module in ("unlearnkit.runs.evaluate", "unlearnkit.attacks.prefix"):
        monkeypatch.setattr(f"{module}.load_model", lambda base: pytest.fail("a model was loaded"))
    words = [["evaluate", "tiny", "--suite", SMALL]]
    if option == "gold":
        words += [["evaluate", str(runs[0])], ["attack", str(runs[0]), "prefix"]]
    for each in words:
        done = command(*each, f"--{option}", other_ids)
        assert done.code == 2
        assert f"2 tokens have other ids than in the tokenizer of {option} (other)" in done.err
        assert f"give a {option} with the same tokenizer, or none" in done.err
        done = command(*each, f"--{option}", "nowhere/at/all")
        assert (done.code, "there is no folder nowhere/at/all" in done.err) == (2, True)


def test_runs_side_by_side(command, runs):
    done = command("compare", *map(str, runs))
    assert done.code == 0, done.err
    assert "(2 seeds)" in done.out
    assert "forget.weight=0.9" in done.out
    assert "±" in done.out
    assert "before" in done.out


def test_comparison_for_programs(command, runs):
    done = command("compare", str(runs[0].parent), "--format", "json")
    columns = {each["recipe"]: each for each in json.loads(done.out)["columns"]}
    (pair,) = [each for each in columns.values() if len(each["runs"]) == 2]
    key = "forget/nll"
    values = [
        load_run(path).summary["suites"]["copyright"]["after"]["forget/nll"]
        for path in pair["runs"]
    ]
    assert pair["figures"][key]["mean"] == pytest.approx(sum(values) / 2)
    low, high = sorted(values)
    assert pair["figures"][key]["deviation"] == pytest.approx((high - low) / 2**0.5)
    lines = list(
        csv.DictReader(io.StringIO(command("compare", *map(str, runs), "--format=csv").out))
    )
    best = [line for line in lines if line["figure"] == key and line["best"] == "1"]
    ours = [
        line for line in lines if line["figure"] == key and line["recipe"] not in ("before", "gold")
    ]
    # What cannot be told from the best by intervals over rows is best too.
    assert max((line["mean"] for line in ours), key=float) in {line["mean"] for line in best}
    unknown = command("compare", str(runs[0]), "--format", "pdf")
    assert (unknown.code, "found 'pdf'" in unknown.err) == (2, True)
    text = command("compare", *map(str, runs), "--format", "md").out
    assert text.startswith("|  | ")
    assert "| **" in text


def test_figures_of_another_model_are_left_out_of_a_comparison(command, runs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(runs[1], copy)
    assert command("evaluate", str(copy)).code == 0
    file = copy / "evaluation" / "copyright.json"
    kept = json.loads(file.read_text())
    kept["values"] |= {"forget/nll": 321.0, "forget/perplexity": 123.0}
    file.write_text(json.dumps(kept))
    # The run measured the first itself.
    assert "321.0" not in command("compare", str(copy), "--format", "csv").out
    assert "123.0" in command("compare", str(copy), "--format", "csv").out
    kept["inputs"]["model"] = "sha256:of-another-model"
    file.write_text(json.dumps(kept))
    assert "123.0" not in command("compare", str(copy), "--format", "csv").out


def test_a_comparison_needs_finished_runs(command, folder):
    done = command("compare", str(folder))
    assert done.code == 2
    assert "is not a finished run" in done.err


def test_of_a_folder_of_runs_the_newest_is_named(command, folder):
    newest = folder / "mine" / "2026-01-02_00-00-00"
    newest.mkdir(parents=True)
    (newest / "summary.json").touch()
    done = command("evaluate", str(newest.parent))
    assert done.code == 2
    assert "Its newest run is" in done.err
    assert newest.name in "".join(done.err.replace("│", " ").split())


def latest_attack(run):
    file = max((run / "attacks").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(file.read_text())


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        ("relearn", "step"),
        ("quantize", "weights"),
        ("prefix", "shown"),
        ("fewshot", "shots"),
        ("paraphrase", "wording"),
        ("logit_lens", "layer"),
    ],
)
def test_an_attack_is_measured_on_the_run_and_on_gold(command, runs, kind, by):
    small = ["--limit", "2"]
    if kind in ("relearn", "fewshot"):
        small += ["--rows", "2"]
    if kind == "relearn":
        small += ["--steps", "2", "--every", "1", "--lr", "1e-3"]
    done = command("attack", str(runs[0]), kind, *small, "--gold", "tiny/gold")
    assert done.code == 0, done.err
    kept = latest_attack(runs[0])
    assert set(kept["curves"]) == {"unlearned", "gold"}
    assert len({len(curve) for curve in kept["curves"].values()}) == 1
    assert all(by in point for curve in kept["curves"].values() for point in curve)
    if kind == "relearn":
        gold = kept["curves"]["gold"]
        assert [point["step"] for point in gold] == [0, 1, 2]
        assert gold[-1]["trained/exact_memorization"] > gold[0]["trained/exact_memorization"]
    assert "gold" in done.out


def test_benign_rows_may_be_learned_instead(command, folder, runs):
    rows = [{"prompt": f"The ferry of {x} is", "response": f" rowed by {x}."} for x in "ABCD"]
    (folder / "benign.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = (
        "attack",
        str(runs[0]),
        "relearn",
        "--limit",
        "2",
        "--steps",
        "2",
        "--every",
        "1",
        "--lr",
        "1e-2",
    )
    done = command(*words, "--rows", "3", "--data", "benign.jsonl", "--gold", "none")
    assert done.code == 0, done.err
    kept = latest_attack(runs[0])
    assert kept["settings"]["data"] == "benign.jsonl"
    (curve,) = kept["curves"].values()
    # The rows in hand are the file's, which are new to the model; those judged are not among them.
    assert curve[0]["trained/exact_memorization"] < 0.5 < curve[0]["others/exact_memorization"]
    assert curve[-1]["trained/exact_memorization"] > curve[0]["trained/exact_memorization"]
    done = command(*words, "--data", "no.jsonl", "--gold", "none")
    assert (done.code, "no.jsonl" in done.err) == (2, True)
    done = command(*words, "--data", "benign.jsonl", "--rows", "5", "--gold", "none")
    assert "--rows: expected 1 to 4" in done.err


def test_no_attack_takes_the_place_of_another(command, runs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(runs[1], copy, ignore=shutil.ignore_patterns("attacks"))
    words = ("attack", str(copy), "prefix", "--gold", "none")

    def files():
        return {path.name: path.read_text() for path in (copy / "attacks").iterdir()}

    assert "unchanged since" not in command(*words, "--limit", "2").out
    first = files()
    assert list(first) == ["prefix.json"]
    # An option that this attack does not read is refused.
    assert command(*words, "--limit", "2", "--lr", "1e-3").code == 2
    assert "unchanged since" in command(*words, "--limit", "2").out
    assert files() == first
    done = command(*words, "--limit", "3")
    assert "unchanged since" not in done.out
    assert "prefix-2.json" in done.out
    assert {name: files()[name] for name in first} == first
    command("attack", str(copy), "prefix", "--gold", "tiny/gold", "--limit", "2")
    assert set(files()) == {"prefix.json", "prefix-2.json", "prefix-3.json"}
    assert "prefix-2.json (unchanged since" in command(*words, "--limit", "3").out
    (copy / "attacks" / "prefix.json").write_text("mine")
    command(*words, "--limit", "2")
    assert files()["prefix.json"] == "mine"
    out = str(copy / "attacks" / "prefix.json")
    done = command(*words, "--limit", "2", "--out", out)
    assert (done.code, "exists and is not overwritten" in done.err) == (2, True)
    again = str(copy / "attacks" / "prefix-2.json")
    assert "unchanged since" in command(*words, "--limit", "3", "--out", again).out


def test_attacks_say_what_is_wrong(command, runs):
    done = command("attack", str(runs[0]), "relern")
    assert (done.code, "Did you mean 'relearn'?" in done.err) == (2, True)
    done = command("attack", str(runs[0]), "relearn", "--rows", "100000", "--gold", "none")
    assert done.code == 2
    assert "--rows: expected 1 to" in done.err
    done = command("attack", str(runs[0]), "quantize", "--bits", "1", "--gold", "none")
    assert "--bits: expected 2 to 16" in done.err
