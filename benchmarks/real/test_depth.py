"""Attacks on what a recipe made, on the embedded model."""

from benchmarks.real.depth import KEY, RATES, Attacked, table
from benchmarks.real.training import Models
from benchmarks.stored import Results

SHORT = {"trainer": {"max_epochs": -1, "max_steps": 1}}


def line(method, before, *after):
    """A result of one seed, with an `after` for every rate."""
    readings = [{"draw": 0, "lr": lr, "before": before, "after": each}
                for lr, each in zip(RATES, after, strict=True)]  # fmt: skip
    return {"application": "depth", "method": method, "seed": 1, "readings": readings}


def test_a_recipes_model_is_attacked_once_on_passages_that_the_attacker_does_not_hold(tmp_path):
    models = Models(tmp_path / "models", "tiny", [SHORT])
    attacked = Attacked(0, models, Results(tmp_path / "all.jsonl", KEY), [SHORT], steps=1)
    for lr in RATES:
        found = attacked.run("copyright_selective", lr)
    assert [each["lr"] for each in found["readings"]] == list(RATES)
    before, other = (each["before"] for each in found["readings"])
    assert before == other > 0.5, "of the embedded model, which knows the book"
    stamp = attacked.results.path.stat().st_mtime_ns
    assert attacked.run("copyright_selective", RATES[0]) == found
    assert attacked.results.path.stat().st_mtime_ns == stamp


def test_an_attack_on_gold_is_on_the_model_that_was_never_taught(tmp_path):
    models = Models(tmp_path / "models", "tiny", [SHORT])
    Attacked(0, models, Results(tmp_path / "all.jsonl", KEY), [SHORT], steps=1).run(
        "gold", RATES[0]
    )
    assert sorted(each.name for each in models.folder.iterdir()) == ["base", "gold-0"]


def test_a_row_of_the_table_has_the_mean_over_draws_at_each_rate():
    both = line("gold", 0.2, 0.3, 0.4)
    both["readings"] += line("gold", 0.4, 0.5, 0.8)["readings"]
    last = table([line("taught", 1.0, 1.0, 1.0), both]).splitlines()[-1]
    assert last == "| gold: never taught | 0.30 | 0.40 | 0.60 | 1 |"
    both["readings"] = both["readings"][:1]
    assert table([both]).splitlines()[-1] == "| gold: never taught | 0.20 | 0.30 | - | 1 |"
