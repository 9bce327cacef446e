"""Runs the bench of attacks, and holds its table to the results."""

from benchmarks import attacks
from benchmarks.stored import Results


def curves(unlearned, gold, metric):
    points = {"unlearned": unlearned, "gold": gold}
    return {"curves": {k: [{metric: value} for value in each] for k, each in points.items()}}


def test_each_figure_has_the_gold_models_beside_it(tmp_path):
    results = Results(tmp_path / "all.jsonl", attacks.KEY)
    relearn = curves([0.4, 0.945], [0.5, 0.7], attacks.RELEARNED)
    found = {
        "relearn": relearn | {"changed": {"unlearned": "the assistant"}},
        "quantize": curves([0.1, 0.2], [0.3, 0.4], attacks.COARSE),
        "sample": curves([0.0, 0.5, 1.0], [0.0, 0.0, 0.1], attacks.SAMPLED),
    }
    results.put({"system": "uld", "attacks": found})
    head, _, row = attacks.table(results).splitlines()
    assert row == (
        "| ULD without augmentation | the assistant | 0.40 (0.50) | 0.94 (0.70) | 0.20 (0.40) "
        "| 0.00 (0.00) | 1.00 (0.10) |"
    )
    assert head.count("|") == row.count("|")


def test_a_model_is_attacked_once_and_its_line_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(
        attacks, "ATTACKS", {"relearn": ("--rows", "2", "--steps", "1", "--every", "1")}
    )
    results = Results(tmp_path / "all.jsonl", attacks.KEY)
    assert attacks.run("before", results, "--limit", "2")
    (line,) = results.all()
    assert line["attacks"]["relearn"]["changed"] == {
        "unlearned": "all weights",
        "gold": "all weights",
    }
    assert [p["step"] for p in line["attacks"]["relearn"]["curves"]["gold"]] == [0, 1]
    assert not attacks.run("before", results, "--limit", "2")


def test_one_edit_of_each_kind_is_in_the_stored_results():
    found = {
        each["system"]: each["attacks"] for each in Results(attacks.RESULTS, attacks.KEY).all()
    }
    assert set(found) == set(attacks.MODELS)
    trained = {name: each["relearn"]["changed"]["unlearned"] for name, each in found.items()}
    assert trained == {
        "before": "all weights", "negate": "all weights", "lunar": "all weights",
        "uld": "the assistant", "o3": "the base below the gate",
        "erase": "the base below the context", "whp": "the base below the rule",
    }  # fmt: skip
