"""Verdicts on the systems whose figures are kept in benchmarks/results."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest

from unlearnkit.verdict import judge
from unlearnkit.verdict.values import metric_rows

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def stored(file, field):
    """Figures by system, mean over seeds."""
    found = defaultdict(list)
    for line in (RESULTS / file).read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        if result.get("application") not in ("depth", "halueval"):  # which no suite has alone
            found[tuple(result[key] for key in field)].append(result["figures"])
    return {
        system: {k: fmean(r[k] for r in runs if r.get(k) is not None) for k in runs[0]}
        for system, runs in found.items()
    }


def verdicts(systems, suite, before, gold):
    return {
        name[-1]: judge(
            metric_rows({suite: {"before": before, "gold": gold, "after": after}}, {})[suite]
        ).name
        for name, after in systems.items()
    }


def test_the_stored_systems_are_judged_sensibly():
    systems = stored("systems_small.jsonl", ["system"])
    found = verdicts(systems, "tofu", systems["before",], systems["gold",])
    assert found["before"] == "not enough"
    assert found["gold"] == "near gold"
    # A model without any utility is damaged at the least, and none that has some is collapsed.
    for (name,), figures in systems.items():
        if figures["utility/model_utility"] < 0.8 * systems["before",]["utility/model_utility"]:
            assert found[name] in ("collapsed", "damaged"), name
        if figures["neighbour/rougeL_recall"] > 0.9 and figures["utility/model_utility"] > 0.9:
            assert found[name] in ("near gold", "not enough"), name
        assert found[name] != "not judged"
    assert {n for n, v in found.items() if v == "near gold"} == {
        "gold", "ihl", "o3", "pdu", "pissa", "rmu",
    }  # fmt: skip


@pytest.mark.parametrize("application", ["copyright", "hallucination", "harmful"])
def test_systems_on_a_real_model_are_judged_sensibly(application):
    everything = stored("real.jsonl", ["application", "method"])
    systems = {name: v for name, v in everything.items() if name[0] == application}
    taught, gold = (systems[application, name] for name in ("taught", "gold"))
    found = verdicts(systems, application, taught, gold)
    assert found["taught"] == found["finetune"] == "not enough"
    assert found["gold"] == "near gold"
    for (_, name), figures in systems.items():
        torn = figures["heldout/perplexity"] > 3 * taught["heldout/perplexity"]
        assert (found[name] == "collapsed") == torn, name
        if figures["normal/rougeL_recall"] < 0.6:
            assert found[name] in ("collapsed", "damaged"), name
