"""Resuming a stopped bench, and rows that are kept apart."""

from __future__ import annotations

import json

import pytest

from benchmarks.fair import depth, running, table, wordings
from benchmarks.fair.__main__ import main
from benchmarks.fair.making import recipe_of
from benchmarks.fair.methods import METHODS
from benchmarks.fair.rows import CHOOSING, REPORTING, SOURCE, TRAINED, write_rows
from benchmarks.fair.running import KEY, Bench
from benchmarks.stored import Results
from unlearnkit.search.space import parse_space


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def texts(row):
    return {row["question"], row["answer"], *row.get("questions", ()), *row.get("answers", ())}


def authors(folder, file):
    return {row["id"].partition("/")[0] for row in lines_of(folder / f"{file}.jsonl")}


def test_no_author_both_chooses_and_is_reported(tmp_path):
    write_rows(tmp_path)
    for file in ("forget50_perturbed", "retain_perturbed", "neighbour_perturbed", "holdout50"):
        chosen, told = (authors(tmp_path / kind, file) for kind in (CHOOSING, REPORTING))
        assert chosen
        assert told
        assert not chosen & told, file
        assert authors(tmp_path / TRAINED, file) == told
    for file in ("real_authors_perturbed", "world_facts_perturbed"):
        asked = [{row["question"] for row in lines_of(tmp_path / kind / f"{file}.jsonl")}
                 for kind in (CHOOSING, REPORTING)]  # fmt: skip
        assert [len(each) for each in asked] == [5, 5]
        assert not asked[0] & asked[1]
    counts = [len(lines_of(tmp_path / kind / "forget50_perturbed.jsonl"))
              for kind in (CHOOSING, REPORTING)]  # fmt: skip
    assert counts == [40, 160]


def test_no_loss_sees_a_wording_that_chooses_or_is_reported(tmp_path):
    write_rows(tmp_path)
    seen = set().union(*map(texts, lines_of(SOURCE / "forget50.jsonl")))
    for kind in (CHOOSING, REPORTING):
        for row in lines_of(tmp_path / kind / "forget50_perturbed.jsonl"):
            assert not {*texts(row), row["paraphrased_answer"]} & seen


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].recipe])
def test_every_method_is_a_recipe_of_the_same_rows_and_steps(name):
    method = METHODS[name]
    space = parse_space(method.space())
    corners = {key: each.corners[0] for key, each in space.items()}
    cli = recipe_of(method, {**method.options, **corners}, seed=3)
    assert cli.config.seed_everything == 3
    assert str(cli.datamodule.streams["forget"].path) == "tiny/tofu_power/forget50.jsonl"
    assert cli.trainer.max_steps == 100
    tree = method.document().tree["model"]
    assert tree["base"] in ("tiny/tofu_power", method.options.get("model.base"))
    assert cli.model.objectives.keys() == tree["objectives"].keys()
    lowest = {"npo_sure": 5e-4, "rep_select": 5e-3}.get(name, 3e-4 if "lora" in tree else 5e-5)
    assert corners["model.optimizer.lr"] == lowest


def test_a_method_that_the_bench_lacks_is_named_without_a_row(monkeypatch):
    assert "ceu" not in table.unlisted()
    without = {name: each for name, each in METHODS.items() if name not in ("ceu", "sku")}
    monkeypatch.setattr(table, "METHODS", without)
    assert {"ceu", "sku_stage1"} <= set(table.unlisted())


class FakeMeasurer:
    """Values that depend on the settings alone."""

    def chosen_by(self, model):
        lr = model["model.optimizer.lr"] if model else 3e-4
        return {"forget/ks_distance": abs(lr - 1e-3) * 300, "forget/exact_memorization": 0.6,
                "utility/model_utility": 0.8, "neighbour/rougeL_recall": 0.95}  # fmt: skip

    def reported(self, model):
        return {**self.chosen_by(model), "interval": [0.1, 0.2], "relearned": 0.7,
                "heldout/rougeL_recall": 0.4, "exact_memorization": 0.55}  # fmt: skip


class Killed(BaseException):
    pass


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A bench without models, which may be killed in place of its next training."""
    path = tmp_path / "fair.jsonl"
    made = []

    def train(method, settings, seed, *folder):
        made.append((seed, dict(settings)))
        if len(made) == train.dies_at:
            raise Killed
        model = settings if "model.optimizer.lr" in settings else {}
        return model or False, 1.0

    train.dies_at = None
    monkeypatch.setattr(running, "trained", train)
    monkeypatch.setattr(running, "make", train)
    stages = {
        "before": {"forget/ks_distance": 0.7, "forget/exact_memorization": 1.0,
                   "utility/model_utility": 0.8, "neighbour/rougeL_recall": 1.0},
        "gold": {"forget/ks_distance": 0.0, "forget/exact_memorization": 0.5,
                 "utility/model_utility": 0.8, "neighbour/rougeL_recall": 1.0},
    }  # fmt: skip

    def anew():
        found = Bench(Results(path, KEY), FakeMeasurer())
        found.stages = stages
        return found

    return anew, train, made, path


def run(bench, trials=3):
    best = bench.search("npo_rt", trials)
    for seed in range(2):
        bench.report("npo_rt", best, trials, seed)


def test_a_run_that_is_killed_anywhere_ends_as_one_that_is_not(bench):
    anew, train, made, path = bench
    run(anew())
    whole, trainings = path.read_text(), len(made)
    assert trainings == 3 + 2
    run(anew())
    assert len(made) == trainings  # all was there
    for number in (2, trainings):
        path.unlink()
        made.clear()
        train.dies_at = number
        with pytest.raises(Killed):
            run(anew())
        train.dies_at = None
        run(anew())
        assert path.read_text() == whole, number
        assert len(made) == trainings + 1  # the one that was cut off, and no other, twice


def test_more_trials_keep_those_that_are_there(bench):
    anew, _, made, path = bench
    anew().search("npo_rt", 2)
    first = [line["settings"] for line in lines_of(path)]
    best = anew().search("npo_rt", 4)
    lines = lines_of(path)
    assert [line["settings"] for line in lines][:2] == first
    assert len(made) == len(lines) == 4
    assert first[0] == {}  # as shipped
    distances = [running.WANTED.distance(line["values"], anew().stages) for line in lines]
    assert best.distance == min(distances)
    assert best.number == distances.index(min(distances))


def test_a_method_of_another_recipe_is_run_anew(bench, monkeypatch):
    anew, _, made, _ = bench
    anew().search("ceu", 1)
    other = METHODS["ceu"].__class__("CE-U", "methods/ceu", options={"data.batch_size": 4})
    monkeypatch.setitem(METHODS, "ceu", other)
    anew().search("ceu", 1)
    assert len(made) == 2


def test_a_trial_that_breaks_a_bound_is_not_found_before_one_that_keeps_them(bench, monkeypatch):
    anew, *_ = bench
    measured = FakeMeasurer.chosen_by

    def harmed(self, model):
        values = measured(self, model)
        return values if not model else {**values, "neighbour/rougeL_recall": 0.5}

    monkeypatch.setattr(FakeMeasurer, "chosen_by", harmed)
    assert anew().search("ceu", 2).number == running.SHIPPED


def test_a_row_has_means_the_widest_interval_and_relearning_over_gold(tmp_path):
    kept = {"utility/model_utility": 0.8, "neighbour/rougeL_recall": 1.0}
    values = {"forget/ks_distance": 0.7, "forget/exact_memorization": 1.0, **kept}
    figures = {"forget/ks_distance": 0.45, "utility/model_utility": 0.8,
               "neighbour/rougeL_recall": 1.0, "heldout/rougeL_recall": 0.4,
               "exact_memorization": 1.0, "relearned": 0.5, "interval": [0.4, 0.5]}  # fmt: skip
    results = Results(tmp_path / "fair.jsonl", KEY)
    for name, known in (("before", 1.0), ("gold", 0.5)):
        results.put({"kind": "stage", "method": name, "number": 0,
                     "values": {**values, "forget/exact_memorization": known},
                     "figures": figures})  # fmt: skip
    results.put(
        {
            "kind": "trial",
            "method": "ceu",
            "number": 0,
            "values": {"forget/ks_distance": 0.35, "forget/exact_memorization": 0.75, **kept},
        }
    )
    for seed, d in ((0, 0.2), (1, 0.4)):
        results.put({"kind": "seed", "method": "ceu", "number": seed, "trials": 12, "trial": 3,
                     "feasible": True, "distance": 0.25, "seconds": 5.0,
                     "settings": {"model.optimizer.lr": 0.000123456},
                     "figures": {**figures, "forget/ks_distance": d, "relearned": 0.75,
                                 "neighbour/rougeL_recall": 0.9 - d / 10,
                                 "interval": [d - 0.1, d + 0.1]}})  # fmt: skip
    lines = table.table(results.path).splitlines()
    assert lines[4] == (
        "| CE-U (Yang 2025, arXiv 2503.01224) | `ceu` | 0.30 ± 0.14 | 0.10 to 0.50 "
        "| 0.80 ± 0.00 | 0.87 ± 0.01 | 0.40 ± 0.00 | 1.00 ± 0.00 | 0.25 ± 0.00 | no | yes "
        "| 0.50 | 0.25 | 5 ± 0 | 12 | 2 |"
    )
    assert all(line.count("|") == lines[0].count("|") for line in lines[:5])
    assert (
        "median search distance is 0.50 as shipped, where 1 of them keep both bounds, and "
        "0.25 as found, where 1 do; 0 keep them"
    ) in table.table(results.path)
    assert "`model.optimizer.lr 0.000123`" in table.settings(results.path)


def test_kept_results_are_of_one_budget():
    lines = Results(table.RESULTS, KEY).all()
    told = [line for line in lines if line["kind"] == "seed"]
    assert len({line["trials"] for line in told}) == 1
    for line in told:
        trials = [x for x in lines if x["kind"] == "trial" and x["method"] == line["method"]]
        assert len(trials) >= line["trials"]
        assert all(set(x["settings"]) <= METHODS[x["method"]].space().keys() for x in trials)


def test_a_row_is_seen_in_as_many_wordings_as_are_asked_for():
    method = METHODS["simnpo"]
    for count in wordings.COUNTS:
        data = recipe_of(method, wordings.worded("simnpo", count), 0).datamodule
        data.check()
        rows = data.data["forget"]
        found = {tuple(each.prompt_ids) for each in rows.at(0, 0)}
        assert len(found) == count + 1


@pytest.mark.slow
def test_two_methods_from_the_first_trial_to_the_table(tmp_path):
    path = tmp_path / "fair.jsonl"
    words = ["--quick", "--methods", "npo_rt", "negate", "--trials", "2", "--seeds", "1"]
    main([*words, "--results", str(path)])
    made = table.table(path)
    assert "| `npo_rt` |" in made
    assert "| `negate` |" in made
    before = path.read_text()
    main([*words, "--results", str(path)])
    assert path.read_text() == before
    main([*words, "--depth", "--results", str(path)])
    assert {line["method"] for line in lines_of(path) if line["kind"] == "depth"} == {
        "before", "npo_rt", "negate"}  # fmt: skip
    made = depth.table(path)
    assert "| `npo_rt` |" in made
    assert "| before unlearning |" in made


def test_a_quick_run_does_not_write_into_the_kept_results():
    with pytest.raises(SystemExit):
        main(["--quick"])
