"""Runs the bench of real models on the embedded model."""

import pytest

from benchmarks.real import depth, page, published
from benchmarks.real.__main__ import KEY, RESULTS, run_exact, run_variants
from benchmarks.real.figures import APPLICATIONS, COLUMNS, columns
from benchmarks.real.measuring import Bench
from benchmarks.real.methods import METHODS, TITLES, joined
from benchmarks.real.selective import SELECTIVE
from benchmarks.real.tables import of, table
from benchmarks.real.training import Models
from benchmarks.real.variants import EXACT, IN_FLOAT32, NEGATED, VARIANTS, stopped
from benchmarks.stored import Results

SHORT = {"trainer": {"max_epochs": -1, "max_steps": 1}}
FEW = {
    "copyright": {"name": "copyright", "limit": 2, "max_new_tokens": 4},
    "harmful": {"name": "harmful", "limit": 2, "max_new_tokens": 4, "keywords": ["hah"]},
    "hallucination": {
        "name": "hallucination",
        "data": "tiny/myths",
        "limit": 2,
        "max_new_tokens": 4,
    },
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return Models(tmp_path_factory.mktemp("models"), "tiny", [SHORT])


@pytest.fixture
def bench(models, tmp_path):
    def made(application):
        layers = [SHORT, {"evaluate": [FEW[application]]}]
        return Bench(application, 0, models, Results(tmp_path / "all.jsonl", KEY), layers)

    return made


@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_application_fills_the_same_columns(bench, models, application):
    each = bench(application)
    each.measure("taught", models.taught(application, 0))
    each.run("llmu", METHODS["llmu"])
    for name in ("taught", "llmu"):
        assert list(each.read(name)["columns"]) == list(COLUMNS)
    assert each.read("llmu")["steps"] == 1


def test_a_result_that_is_there_is_not_made_again(bench):
    each = bench("copyright")
    each.run("npo", METHODS["npo"])
    before = each.results.path.stat().st_mtime_ns
    each.run("npo", METHODS["npo"])
    assert each.results.path.stat().st_mtime_ns == before
    assert list(each.results.path.parent.iterdir()) == [each.results.path]


def test_variants_stop_at_the_gold_models_nll_and_a_vector_is_taken_away(bench, models):
    each = bench("copyright")
    each.measure("gold", models.gold(0))
    nll = each.read("gold")["figures"]["forget/nll"]
    run_variants(each, ["s_llmu_broad", "s_vector_1"])
    assert each.read("s_llmu_broad")["layer"]["trainer"]["callbacks"] == [
        {"name": "collapse_stop", "forget_nll": nll}
    ]
    assert "forget" in each.read("s_vector_1")["columns"]


def test_variants_in_float32_are_stored_apart(models, tmp_path):
    results = Results(tmp_path / "all.jsonl", KEY)
    run_exact(0, models, results, [SHORT, {"evaluate": [FEW["copyright"]]}])
    found = results.all()
    assert {each["application"] for each in found} == {IN_FLOAT32}
    assert {each["method"] for each in found} == {"taught", "gold", *EXACT}
    (gold,) = of(found, IN_FLOAT32)["gold"]
    (run,) = of(found, IN_FLOAT32)["s_llmu_entries"]
    (stop,) = run["layer"]["trainer"]["callbacks"]
    assert stop["forget_nll"] == gold["figures"]["forget/nll"]
    assert run["layer"]["trainer"]["max_steps"] == 96


@pytest.mark.parametrize("name", [*METHODS, *VARIANTS, *EXACT])
def test_every_layer_is_a_recipe(bench, name):
    from benchmarks.real.training import built

    known = VARIANTS | EXACT
    layer = METHODS[name] if name in METHODS else stopped(known[name][1], 5.0)
    cli = built("smollm2/copyright", "tiny", 0, [layer])
    cli.datamodule.check()
    assert {stream for o in cli.model.active.values() for stream in o.streams} <= set(
        cli.datamodule.data
    )


def test_names_do_not_clash():
    assert METHODS.keys() <= TITLES.keys()
    assert not TITLES.keys() & (VARIANTS.keys() | NEGATED.keys())
    assert not EXACT.keys() & (TITLES.keys() | VARIANTS.keys() | NEGATED.keys())


def test_a_layer_over_another_replaces_what_it_names():
    under = {"model": {"lora": None, "optimizer": 1}, "data": {"batch_size": 1}}
    over = {"model": {"optimizer": 2}}
    assert joined(under, over) == {
        "model": {"lora": None, "optimizer": 2},
        "data": {"batch_size": 1},
    }


def test_columns_are_taken_from_figures_and_answers():
    values = {
        "trained/keyword_rate": 0.5,
        "unseen/keyword_rate": 0.25,
        "normal/rougeL_recall": 1.0,
        "heldout/rougeL_recall": 0.9,
        "neighbour/rougeL_recall": 0.8,
        "heldout/perplexity": 1.5,
    }
    rows = [
        {"stream": "trained", "generated": "a b a b"},  # 2 of 3 pairs differ
        {"stream": "normal", "generated": "a b c"},
    ]
    assert columns("harmful", values, rows) == {
        "forget": 0.5,
        "unseen": 0.25,
        "normal": 1.0,
        "heldout": 0.9,
        "neighbour": 0.8,
        "distinct_2": pytest.approx(2 / 3),
        "perplexity": 1.5,
    }


def test_a_table_has_mean_and_spread_over_seeds():
    runs = [
        {
            "application": "harmful",
            "method": "npo",
            "columns": dict.fromkeys(COLUMNS, value),
            "figures": {"forget/nll": value},
            "steps": steps,
        }
        for value, steps in ((0.2, 7), (0.4, 9))
    ]
    last = table(of(runs, "harmful"), {"npo": "NPO", "ga": "GA"}).splitlines()[-1]
    assert last == "| NPO |" + " 0.30 ± 0.14 |" * len(COLUMNS) + " 7 to 9 | 2 |"
    wider = table(of(runs, "harmful"), {"npo": "NPO"}, {"forget/nll": "NLL"}).splitlines()
    assert wider[0].endswith("| NLL | Steps | Seeds |")
    assert wider[-1] == "| NPO |" + " 0.30 ± 0.14 |" * (len(COLUMNS) + 1) + " 7 to 9 | 2 |"


def test_the_pages_tables_are_those_of_the_kept_results():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.generated(text, Results(RESULTS, KEY).all()) == text, (
        "run: python -m benchmarks.real --tables"
    )


def test_kept_results_are_of_known_methods():
    found = Results(RESULTS, KEY).all()
    assert len(found) == 123
    assert {each["method"] for each in found} <= {
        *TITLES,
        *VARIANTS,
        *EXACT,
        *NEGATED,
        *depth.TITLES,
        *(name for variants in SELECTIVE.values() for name in variants),
        published.BEFORE,
        published.AFTER,
    }
