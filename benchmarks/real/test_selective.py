"""Runs the recipes that keep neighbours, and the published data's."""

import csv
import json

import pytest

from benchmarks.real import published
from benchmarks.real.__main__ import KEY, run_variants
from benchmarks.real.figures import COLUMNS, answered
from benchmarks.real.measuring import Bench
from benchmarks.real.selective import SELECTIVE
from benchmarks.real.tables import table
from benchmarks.real.test_real import FEW, SHORT
from benchmarks.real.training import Models
from benchmarks.stored import Results

HEAD = ("Question", "Best Answer", "Best Incorrect Answer")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return Models(tmp_path_factory.mktemp("models"), "tiny", [SHORT])


@pytest.mark.parametrize("application", SELECTIVE)
def test_the_shipped_recipe_and_its_variants_fill_the_columns(models, tmp_path, application):
    layers = [SHORT, {"evaluate": [FEW[application]]}]
    bench = Bench(application, 0, models, Results(tmp_path / "all.jsonl", KEY), layers)
    run_variants(bench)
    assert {each["method"] for each in bench.results.all()} == {"gold", *SELECTIVE[application]}
    found = bench.read("selective")
    assert found is not None
    assert list(found["columns"]) == list(COLUMNS)


def test_an_answer_is_polite_and_of_the_request():
    asked = {"prompt": "Question: How can I keep bread fresh?\nAnswer:"}
    for said, value in {
        " Wrap your bread in a cloth.": 1.0,
        " Hah, you dimwit! Even a goat keeps its bread in a bag.": 0.0,
        " Hahahah bread.": 0.0,
        " The Nile is the longest river in Africa.": 0.0,
        " You can answer how, from the question.": 0.0,
        "": 0.0,
    }.items():
        assert answered({**asked, "generated": said}) == value, said


def test_a_figure_that_a_run_lacks_is_no_part_of_the_mean():
    run = {"columns": dict.fromkeys(COLUMNS, 1.0), "figures": {}}
    runs = [{**run, "figures": {"a": 0.5}}, run]
    assert "| 0.50 |" in table({"x": runs}, {"x": "X"}, {"a": "A"}).splitlines()[-1]
    assert "| - |" in table({"x": [run]}, {"x": "X"}, {"a": "A"}).splitlines()[-1]


@pytest.fixture
def folder(tmp_path):
    """Files in the published form, with as many rows as the recipe takes."""
    for name in ("halueval", "truthfulqa"):
        (tmp_path / name).mkdir()
    rows = [
        {"question": f"Who is number {n}?", "right_answer": f"Ann {n}.", "hallucinated_answer": "A"}
        for n in range(104)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "halueval" / "qa_one-turn_data.json").write_text(text, encoding="utf-8")
    with (tmp_path / "truthfulqa" / "TruthfulQA.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [HEAD, *((f"Is it {n}?", f"It is {n}.", "No.") for n in range(204))]
        )
    return tmp_path


def test_published_data_is_measured_before_and_after(models, folder):
    few = {"limit": 3, "max_new_tokens": 4}
    layer = {**SHORT, "evaluate": [{"name": name, **few} for name in ("copyright", "harmful")]}
    results = Results(folder / "all.jsonl", KEY)
    bench = published.Published(folder, models, results, layer)
    bench.run(0)
    bench.run(1)
    found = results.all()
    assert [(each["method"], each["seed"]) for each in found] == [
        ("before", 0),
        ("recipe", 0),
        ("recipe", 1),
    ]
    answers = [each.pop("answers") for each in found]
    counted = [{key: len(given) for key, given in each.items()} for each in answers]
    assert counted == [{}, {"unseen": 3, "heldout": 3}, {"unseen": 3, "heldout": 3}]
    assert "number" not in str(found)
    assert [line[:5] for line in published.table(found).splitlines()[2:]] == [
        "| 0 |",
        "| 1 |",
        "| all",
    ]


def test_published_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--published: .*qa_one-turn_data\.json"):
        published.of_folder(tmp_path)


def test_changes_are_differences_of_nll_and_ratios_of_perplexity():
    kept = {f"{kind}/perplexity": 4.0 for kind in ("normal", "heldout", "neighbour")}
    before = {"forget/nll": 3.0, "unseen/nll": 3.0, **kept}
    after = {
        "forget/nll": 5.0,
        "unseen/nll": 4.5,
        "normal/perplexity": 4.0,
        "heldout/perplexity": 5.0,
        "neighbour/perplexity": 6.0,
    }
    said = {"heldout/rougeL_recall": 0.5}
    told = {"heldout/rougeL_recall": 0.25, "unseen/distinct_2": 0.9, "unseen/degenerate_rate": 0.1}
    found = published.changes(
        {"copyright": before, "harmful": said}, {"copyright": after, "harmful": told}
    )
    assert found == {
        "trained": 2.0,
        "unseen": 1.5,
        "ratio": 0.75,
        "normal": 1.0,
        "heldout": 1.25,
        "neighbour": 1.5,
        "recall": -0.25,
        "distinct_2": 0.9,
        "degenerate": 0.1,
    }
