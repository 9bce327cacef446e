"""The bench's commands are accepted, and its table matches the results."""

from pathlib import Path

import pytest

from benchmarks.systems import running, table
from benchmarks.systems.__main__ import main
from benchmarks.systems.running import Bench, Cost, measured
from benchmarks.systems.systems import SYSTEMS, System, edited, fitted
from unlearnkit.cli.main import run
from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import read_command_line
from unlearnkit.cli.recipe.shipped import shipped

# The same loss in a recipe of the tiny TOFU, and what is trained for a model made of models.
ELSEWHERE = {"altpo": "altpo", "d2o": "d2o", "dpo_idk": "idk_dpo", "graddiff": "graddiff",
             "llmu": "llmu", "npo": "npo", "npo_rt": "npo", "o3_adapter": "o3", "rmu": "rmu",
             "safe_unlearning": "safe_unlearning", "simnpo": "simnpo", "sku_stage1": "sku",
             "uld_assistant": "uld"}  # fmt: skip
# Methods that nobody has run on the tiny TOFU yet; docs/papers.md says so.
NOT_RUN = {"adaptive_rmu", "gru", "idk_ap", "ilu", "jensun", "me_gd", "npo_lat", "npo_sam",
           "npo_sure", "rep_select", "tar", "unilogit"}  # fmt: skip
# Systems that the small tiny TOFU never had.
NEWER = {"d2o_whole", "eco", "eco_whole", "gradient_ascent_whole", "lunar_whole", "o3_whole",
         "rmu_whole", "safe_unlearning_whole", "sku_whole", "uld_whole", "whp_script",
         "whp_whole"}  # fmt: skip


def result(system, seed, value, seconds=10.0):
    figures = dict.fromkeys(table.FIGURES, value)
    return {
        "system": system,
        "seed": seed,
        "figures": figures,
        "seconds": seconds,
        "peak_mb": 700.0,
    }


def test_a_row_has_mean_and_spread_over_seeds_and_what_made_it():
    runs = [result("npo", 0, 0.2, 9.0), result("npo", 1, 0.4, 11.0)]
    head, _, row = table.table({"npo": runs}).splitlines()
    assert row == (
        "| NPO, retain term (Zhang et al. 2024, arXiv 2404.05868) | `npo` | `tiny_tofu/npo` |"
        + " 0.300 ± 0.141 |" * 5
        + " 10 ± 1 | 700 ± 0 | 2 |"
    )
    assert head.count("|") == row.count("|")


def test_a_model_that_is_there_has_neither_spread_nor_cost():
    row = table.table({"before": [result("before", 0, 0.25)]}).splitlines()[-1]
    assert row == "| before unlearning | `before` |  |" + " 0.250 |" * 5 + "  |  |  |"


def test_an_edit_is_named_after_the_training_that_it_needs():
    row = table.table({"whp": [result("whp", 0, 0.5)]}).splitlines()[-1]
    assert row.startswith(
        "| Who's Harry Potter, its prediction (Eldan and Russinovich 2023, arXiv 2310.02238) "
        "| `whp` | `edits/reinforce`, `edit whp` |"
    )


def test_an_edit_that_is_made_several_times_is_named_once():
    row = table.table({"o3_whole": [result("o3_whole", 0, 0.5)]}).splitlines()[-1]
    assert "| `edits/o3`, `edit o3_encoder`, `edit o3` |" in row


def test_metrics_are_rows_and_what_nobody_ran_has_no_column():
    found = {name: [result(name, 0, value)] for name, value in (("before", 1.0), ("gold", 0.5))}
    found["npo"] = [result("npo", 0, 0.2), result("npo", 1, 0.4)]
    key = "forget/exact_memorization"
    assert table.by_metric(found, ["npo", "rmu"], [key]).splitlines() == [
        "|  | before | gold | npo |",
        "| --- | ---: | ---: | ---: |",
        f"| {key} | 1.000 | 0.500 | 0.300 ± 0.141 |",
    ]
    assert table.by_metric(found, ["npo"]).count("\n") == 2 + len(table.FIGURES)


def test_every_recipe_of_a_method_has_a_row():
    methods = {name.partition("/")[2] for name in shipped() if name.startswith("methods/")}
    tiny = {name for name in shipped() if name.startswith("tiny_tofu/")}
    used = {recipe for system in SYSTEMS.values() for recipe in system.recipes}
    assert tiny - used == {"tiny_tofu/npo_sam"}
    without = {name for name in methods if f"methods/{name}" not in used}
    assert without == {*ELSEWHERE, *NOT_RUN}
    told = (
        (Path(__file__).parents[2] / "docs" / "papers.md")
        .read_text(encoding="utf-8")
        .partition("## Recipes")[0]
    )
    assert all(f"`methods/{name}`" in told for name in NOT_RUN)
    assert set(ELSEWHERE.values()) <= set(SYSTEMS)


# What an earlier command makes is not there in the test.
FITS = [
    (name, words)
    for name, system in SYSTEMS.items()
    for words in system.commands
    if words[0] == "fit" and not any("RUN1" in word or "labels/" in word for word in words)
]


@pytest.mark.parametrize(("name", "words"), FITS, ids=[name for name, _ in FITS])
def test_every_training_is_a_recipe(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = read_command_line([word.replace("SEED", "1") for word in words[1:]])
    cli = RecipeCLI(read(line.recipes), line.overrides)
    assert cli.config.seed_everything == 1
    assert str(cli.datamodule.streams["forget"].path).startswith("tiny/tofu_power/")


def test_the_dual_weight_of_pdu_moves_in_the_last_ten_of_fifteen_epochs():
    words = SYSTEMS["pdu"].commands[0]
    line = read_command_line([word.replace("SEED", "1") for word in words[1:]])
    cli = RecipeCLI(read(line.recipes), line.overrides)
    rows = len((running.PACKAGE / "tiny/tofu_power/forget10.jsonl").read_text("utf-8").splitlines())
    steps = rows // cli.config.data.batch_size
    assert cli.trainer.max_steps == 15 * steps
    assert cli.model.objectives["forget"].dual_warmup == 5 * steps


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Commands in this process, and short ones."""

    def inside(command, work):
        with monkeypatch.context() as patch:
            patch.chdir(work)
            run([str(word) for word in command])
        return Cost(2.0, 3.0, 100.0 + len(command))

    monkeypatch.setattr(running, "measured", inside)
    short = ("--trainer.max_steps", "1", "--trainer.accelerator", "cpu")
    suite = "{name: tofu, data: tiny/tofu_power, split: forget10, limit: 2, max_new_tokens: 4}"
    return Bench(tmp_path / "results" / "all.jsonl", short, suite)


def test_a_training_and_an_edit_are_run_once(bench):
    commands = (
        fitted("edits/reinforce"),
        edited("negate", "--tuned", "RUN1", "--scale", "1"),
    )
    system = System("negate", "edits/reinforce", commands)
    assert bench.run("negate", system, 3)
    found = bench.results.get("negate", 3)
    assert found["seconds"] == 4.0
    assert found["peak_mb"] == max(each["peak_mb"] for each in found["processes"])
    assert found["commands"][0] == (
        "unlearnkit fit --recipe edits/reinforce --seed_everything 3 --evaluate '[]'"
    )
    assert 0 <= found["figures"]["forget/ks_distance"] <= 1
    assert not bench.run("negate", system, 3)
    other = System("negate", "edits/reinforce", (commands[0],), "RUN1")
    assert bench.run("negate", other, 3)  # made of other commands
    assert list(bench.results.path.parent.iterdir()) == [bench.results.path]
    assert len(bench.results.all()) == 1


def test_a_process_is_measured_and_its_words_are_shown_if_it_fails(tmp_path):
    cost = measured(("--version",), tmp_path)
    assert cost.peak_mb > 0
    assert cost.seconds > 0
    measured(("python", "-c", "open('made', 'w').close()"), tmp_path)
    assert (tmp_path / "made").is_file()
    lines = System("", "", (("python", "-m", "a", "b c"), ("edit", "x"))).lines(0)
    assert lines == ["python -m a 'b c'", "unlearnkit edit x"]
    with pytest.raises(RuntimeError, match="Did you mean 'fit'"):
        measured(("fti",), tmp_path)


def test_a_model_that_is_there_is_measured_once(tmp_path, monkeypatch):
    seen = []

    def fake(self, name, system, seed):
        seen.append((name, seed))
        self.results.put(result(name, seed, 0.5))
        return True

    monkeypatch.setattr(Bench, "run", fake)
    main(["--system", "gold", "npo", "--seeds", "0", "1", "--results", str(tmp_path / "r")])
    assert seen == [("gold", 0), ("npo", 0), ("npo", 1)]


@pytest.mark.parametrize("path", [table.RESULTS, table.SMALL], ids=["now", "small"])
def test_every_system_has_results_of_each_seed_once(path):
    found = table.read_results(path)
    assert set(found) <= set(SYSTEMS)
    assert {"before", "gold"} <= set(found)
    assert path == table.RESULTS or set(SYSTEMS) - set(found) == NEWER
    lacking = [name for name in SYSTEMS if name not in found]
    assert all(f"`{name}`" in table.without_row(found) for name in lacking)
    for name, runs in found.items():
        seeds = [run["seed"] for run in runs]
        assert seeds == sorted(set(seeds)), name
        assert SYSTEMS[name].seeded or seeds == [0], name


def test_kept_results_are_of_the_commands_that_the_bench_has():
    for name, runs in table.read_results().items():
        for each in runs:
            assert each["commands"] == SYSTEMS[name].lines(each["seed"]), name
