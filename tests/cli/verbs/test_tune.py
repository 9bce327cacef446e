"""``unlearnkit tune``: a search from a recipe's section to its best recipe and report."""

import json
import re

import pytest
import yaml

from unlearnkit.cli.recipe.document import read

TUNE = """
evaluate: [copyright]
tune:
  search:
    model.optimizer.lr: {log: [1.0e-5, 1.0e-2]}
    model.objectives.forget.weight: {uniform: [0.5, 2]}
  towards: {copyright/forget/nll: 1.5 * before}
  keep: {copyright/normal/perplexity: {at_most: 9 * before}}
  budget: {trials: 2}
  seeds: 1
"""


@pytest.fixture
def searched(folder, recipe):
    good = (folder / "good.yaml").read_text()
    return recipe(good.replace("model:\n", "model:\n  base: tiny\n") + TUNE, "mine.yaml")


WATCHED = """\
trainer:
  logger: {name: csv, save_dir: logged}
  callbacks: [{name: evaluate_every, steps: 1}, {name: ModelCheckpoint, dirpath: kept}]
"""


def test_a_search_ends_with_a_recipe_a_report_and_a_run(command, folder, searched, parse):
    (folder / "watched.yaml").write_text(WATCHED)
    recipes = ("-r", searched, "-r", "watched.yaml")
    done = command("tune", *recipes, "--model.objectives.retain.weight", "0.7")
    assert done.code == 0, done.err
    # Of the three trainings, the run alone logs and keeps.
    assert len([*(folder / "logged" / "csv").iterdir()]) == 1
    (made,) = (folder / "runs" / "tune" / "mine").iterdir()
    best = yaml.safe_load((made / "best.yaml").read_text())
    assert best["model"]["objectives"]["retain"]["weight"] == 0.7
    mine = read([folder / searched, folder / "watched.yaml"]).tree
    del mine["tune"]
    lr = best["model"]["optimizer"]["lr"]
    assert 1e-5 <= lr <= 1e-2
    assert re.search(r"model.optimizer.lr +" + re.escape(f"{lr:.4g}"), done.out)
    page = (made / "report.html").read_text()
    assert "2 trials" in page
    assert "copyright" not in re.search(r"<tbody>.*?</tbody>", page, re.DOTALL)[0]  # one suite
    # The run is of the best recipe, and its rows are in neither more nor fewer than two folds.
    (trial,) = (made / "runs").iterdir()
    assert trial.name == f"trial-{re.search(r'trial (.), distance', done.out)[1]}"
    run = trial / "seed-7"
    # The recipe says what its author would say, and comes to the recipe of the run.
    found = best["model"]["objectives"]["forget"]["weight"]
    mine["model"]["optimizer"]["lr"] = lr
    mine["model"]["objectives"]["retain"]["weight"] = 0.7
    mine["model"]["objectives"]["forget"]["weight"] = found
    assert best == mine
    resolved = yaml.safe_load(parse("-r", str(made / "best.yaml")).recipe_text)
    assert resolved == yaml.safe_load((run / "recipe.yaml").read_text())
    stages = json.loads((made / "stages.json").read_text())
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    forget = [
        r["nll_sum"] / r["tokens"] for r in rows if (r["when"], r["stream"]) == ("before", "forget")
    ]
    values = [stages[fold]["before"]["copyright/forget/nll"] for fold in stages]
    assert len(forget) == 3
    # One fold has one of the three rows, the other has two.
    single = [v for v in values if any(v == pytest.approx(n, rel=1e-5) for n in forget)]
    assert len(single) == 1

    words = ("tune", *recipes, "--study", str(made), "--model.objectives.retain.weight")
    again = command(*words, "0.7")
    assert again.code == 0, again.err
    assert [each.name for each in trial.iterdir()] == ["seed-7"]
    # A run that was stopped before it was measured is not taken for a measured one.
    (run / "rows.jsonl").unlink()
    once_more = command(*words, "0.7")
    assert once_more.code == 0, once_more.err
    assert sorted(each.name for each in trial.iterdir()) == ["seed-7", "seed-7_2"]
    tables = [each.out.partition("\ntrial ")[2] for each in (again, once_more)]
    assert tables[0]
    assert tables[0] == tables[1]
    other = command(*words, "0.8")
    assert (other.code, "is of another recipe" in other.err) == (2, True)
    (folder / "forget.jsonl").write_text((folder / "forget.jsonl").read_text().replace("ee", "ed"))
    changed = command(*words, "0.7")
    assert (changed.code, "is of another recipe, other rows" in changed.err) == (2, True)


def test_validate_tells_all_mistakes_of_a_search_with_their_lines(command, folder, searched):
    assert command("validate", "-r", searched).code == 0
    # A recipe for two processes is right, although a trial runs on one.
    two = ("--trainer.devices", "2", "--trainer.strategy", "ddp")
    assert command("validate", "-r", searched, *two).code == 0
    text = (folder / "mine.yaml").read_text()
    wrong = text.replace("copyright/forget/nll: 1.5 * before", "copyright/forget/nll: gold")
    wrong = wrong.replace("copyright/normal/perplexity", "copyright/normal/perplexitty")
    (folder / "mine.yaml").write_text(wrong)
    for verb in ("validate", "tune"):
        done = command(verb, "-r", searched)
        assert done.code == 2
        for key, said in (
            ("towards.copyright/forget/nll", "refers to gold, but there is no such model"),
            ("keep.copyright/normal/perplexitty", "Did you mean 'copyright/normal/perplexity'?"),
        ):
            line = next(n for n, each in enumerate(wrong.splitlines(), 1) if f"{key[-9:]}:" in each)
            assert f"mine.yaml:{line}: tune.{key}: " in done.err
            assert said in done.err


def test_steps_that_epochs_end_before_are_no_range(command, searched):
    steps = ("--tune.search.trainer.max_steps", "{int: [1, 9]}", "--trainer.max_epochs", "2")
    done = command("tune", "-r", searched, *steps)
    assert (done.code, "max_steps goes up to 9" in done.err) == (2, True)
    assert "trainer.max_epochs: 2 ends after 4 steps" in done.err


def test_a_suite_of_fewer_rows_is_looked_at_by_some_of_them(command, folder, searched):
    rows = [{"prompt": f"question {n}", "response": "an answer"} for n in range(40)]
    (folder / "forget.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    few = ("--evaluate.0.limit", "20", "--trainer.max_steps", "3", "--tune.budget.trials", "1")
    lr = ("--tune.search.model.optimizer.lr", "{log: [1.0e-4, 1.0e-3]}")
    done = command("tune", "-r", searched, *few, *lr)
    assert done.code == 0, done.err
    (made,) = (folder / "runs" / "tune" / "mine").iterdir()
    best = yaml.safe_load((made / "best.yaml").read_text())
    assert 1e-4 <= best["model"]["optimizer"]["lr"] <= 1e-3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("lr: {log", "lrr: {log"), "model.optimizer.lrr"),
        (("{uniform: [0.5, 2]}", "{uniform: [-2, 2]}"), "weight"),
        (("copyright/forget/nll", "copyright/forget/nlll"), "no suite measures"),
        (("copyright/forget/nll", "forget/nll"), "write 'copyright/forget/nll' in place of"),
        (("1.5 * before", "gold"), "refers to gold, but there is no such model"),
        (("budget: {trials: 2}", "budget: {trails: 2}"), "Did you mean 'trials'?"),
        (("seeds: 1", "seeds: 1\n  sampler: randon"), "Did you mean 'random'?"),
        (("evaluate: [copyright]", ""), "the recipe names no suite"),
        (("accelerator: cpu", "accelerator: cpu, devices: 2, strategy: ddp"), "on one process"),
        (
            (
                "accelerator: cpu",
                "accelerator: cpu, "
                "callbacks: [{name: evaluate_every, steps: 1, score: [forget/rougeL_recall]}]",
            ),
            "EvaluateEvery chooses a step by rows that are to be reported",
        ),
        (
            (
                "accelerator: cpu",
                "accelerator: cpu, callbacks: [{name: evaluate_every, steps: 1}, "
                "{name: EarlyStopping, monitor: val/forget/nll}]",
            ),
            "EarlyStopping chooses a step by rows that are to be reported",
        ),
    ],
)
def test_mistakes_of_the_section_are_told_before_a_model_is_loaded(
    command, folder, searched, change, said
):
    path = folder / searched
    path.write_text(path.read_text().replace(*change))
    done = command("tune", "-r", searched)
    assert done.code == 2, done.err
    assert said in " ".join(done.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--model.optimizer.lr", "1e-3", "--model.schedule", "linear"),
            "--model.optimizer.lr: has no effect on a search that draws model.optimizer.lr",
        ),
        (
            (
                *("--tune.search.model.schedule", "{choice: [constant, linear]}"),
                *("--model.schedule.name", "linear"),
            ),
            "--model.schedule.name: has no effect on a search that draws model.schedule",
        ),
        (
            ("--method", "npo", "--tune.search.trainer.max_steps", "{int: [1, 3]}"),
            "--tune.search.trainer.max_steps: has no effect beside --method, whose methods have "
            "ranges of their own",
        ),
    ],
)
def test_overrides_without_effect_are_told(command, searched, words, said):
    done = command("tune", "-r", searched, *words)
    assert done.code == 2
    told = " ".join(done.err.replace("│", "").split())
    assert said in told
    assert told.count("has no effect") == 1


def test_a_recipe_without_the_section_is_refused_and_others_leave_it_alone(
    command, folder, searched
):
    done = command("tune", "-r", "good.yaml")
    assert (done.code, "has no section tune:" in done.err) == (2, True)
    assert command("tune").code == 2
    assert command("validate", "-r", searched).code == 0
    # A recipe for two processes is right, although a trial runs on one.
    two = ("--trainer.devices", "2", "--trainer.strategy", "ddp")
    assert command("validate", "-r", searched, *two).code == 0
    (folder / searched).write_text((folder / searched).read_text().replace("seeds: 1", "seed: 1"))
    wrong = command("validate", "-r", searched)
    assert wrong.code == 2
    place = read([folder / searched]).place(("tune",))
    assert f"{place.rpartition('/')[2]}: tune: there is no key 'seed'" in wrong.err


def test_methods_are_searched_with_their_own_ranges_and_compared(command, folder, searched, parse):
    words = ("tune", "-r", searched, "--method", "npo_kl,simnpo")
    done = command(*words)
    assert done.code == 0, done.err
    (made,) = (folder / "runs" / "tune" / "mine").iterdir()
    table = json.loads((made / "methods.json").read_text())
    assert sorted(each["method"] for each in table) == ["npo_kl", "simnpo"]
    ranks = [(not each["keeps_bounds"], each["distance"]) for each in table]
    assert ranks == sorted(ranks)
    for entry in table:
        assert entry["trials"] == 2
        best = yaml.safe_load((made / entry["method"] / "best.yaml").read_text())
        forget = best["model"]["objectives"]["forget"]
        assert forget["beta"] == entry["settings"]["model.objectives.forget.beta"]
        assert parse("-r", str(made / entry["method"] / "best.yaml")).recipe_text
        assert f"{entry['method']} " in done.out
    assert "model.objectives.forget.gamma" in {*table[0]["settings"], *table[1]["settings"]}
    stages = [(made / each["method"] / "stages.json").read_bytes() for each in table]
    assert stages[0] == stages[1]
    assert done.out.count("search folder") == 2

    again = command(*words, "--study", str(made))
    assert again.code == 0, again.err
    assert json.loads((made / "methods.json").read_text()) == table


@pytest.mark.parametrize(
    ("methods", "said"),
    [("npo,npo", "npo is named twice"), ("nppo", "Did you mean 'npo'"), ("npo,", "no method ''")],
)
def test_methods_that_do_not_exist_are_told(command, searched, methods, said):
    done = command("tune", "-r", searched, "--method", methods)
    assert (done.code, said in done.err) == (2, True), done.err
