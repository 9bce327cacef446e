"""The zoo is made once, and tests every metric of the package."""

from collections import Counter

import pytest

from benchmarks.meta import __main__ as command
from benchmarks.meta import facts, kinds, zoo
from benchmarks.meta.evaluating import judged
from benchmarks.meta.inputs import inputs_of
from benchmarks.meta.readings import restricted
from benchmarks.meta.table import KEY, ordered, table, zoo_table
from benchmarks.meta.tested import LEFT_OUT, Candidate, all_of_the_package, own
from benchmarks.meta.zoo import Member, Zoo, members
from benchmarks.stored import Results
from unlearnkit.errors import UserError
from unlearnkit.metrics import ExactMemorization, FieldExact, Probability, RowMean, UnlearningMetric

FACTS = 8
PARTS = ("tokens", "reference", "unseen", "options", "generated", "said", "depth")


class Constant(RowMean):
    """The same for all models."""

    needs = keys = ("generated",)
    direction = "down"

    def per_row(self, generated):
        return [0.25 for _ in generated]


class Told(RowMean):
    """Whether the value is in the text: planted in the readings below."""

    needs = ("generated",)
    keys = ("told",)
    direction = "down"

    def per_row(self, generated):
        return [float("It is" in text) for text in generated]


class Demanding(Told):
    """Needs what no reading has."""

    needs = ("generated", "attention")


class WithArguments(Told):
    """Cannot be made without one."""

    def __init__(self, threshold):
        super().__init__()


@pytest.fixture
def few(monkeypatch):
    """A zoo of few facts and short trainings."""
    some = facts.facts()[:FACTS]
    monkeypatch.setattr(facts, "FACTS", FACTS)
    monkeypatch.setattr(facts, "facts", lambda: some)
    monkeypatch.setattr(facts, "other_facts", lambda: some)
    rows = facts.kept()[:FACTS], facts.unseen()[:FACTS]
    monkeypatch.setattr(facts, "kept", lambda: rows[0])
    monkeypatch.setattr(facts, "unseen", lambda: rows[1])
    monkeypatch.setattr(zoo, "HELD", (0, 4))
    monkeypatch.setattr(zoo, "OTHERS", (1, 2, 3, 5, 6, 7))
    for settings in (kinds.TEACHING, kinds.UNLEARNING, zoo.RELEARNING):
        monkeypatch.setitem(settings, "steps", 1)


def reading(says, logp=-1.0):
    """What a model gives that says one thing to all questions."""
    count = len(facts.facts())
    tokens = {key: [[logp, logp]] * count for key in ("logps", "standardised", "kl")}
    return {
        "tokens": {**tokens, "correct": [[1.0, 0.0]] * count},
        "unseen": tokens,
        "options": [logp, -2.0, -2.0, -2.0] * count,
        "lengths": [2, 2, 2, 2] * count,
        "generated": [says] * count,
        "said": [[-1.0]] * count,
        "depth": [0.5] * count,
        "cost": dict.fromkeys(
            ("tokens", "reference", "unseen", "options", "generated", "said"), 1.0
        ),
    }


def planted(member, state):
    """Models that know say so; of the unlearned ones, all do after relearning."""
    knows = member.made.half == "knows"
    relearned = state == zoo.RELEARNED and member.made.half == "unlearned"
    return reading("It is." if knows or relearned else "No.")


def test_the_zoo_has_the_models_that_its_description_promises():
    halves = Counter(member.made.half for member in members())
    assert halves == {"knows": 20, "does not": 20, "unlearned": 10, "gold": 1}
    assert len({m.kind for m in members() if m.made.half == "unlearned"}) == 5
    quick = Counter(member.made.half for member in members(quick=True))
    assert quick == {"knows": 3, "does not": 3, "unlearned": 2, "gold": 1}
    names = [member.name for member in members()]
    assert len(set(names)) == len(names)
    for member in members():  # what others begin with is made before them
        start = member.made.start
        assert start == kinds.BASE or names.index(f"{start}-0") < names.index(member.name)
    assert zoo_table().count("\n") == 2 + len(kinds.KINDS)


def test_a_fact_has_a_value_that_stands_in_its_first_answer_and_not_in_the_untrue_one():
    for fact in facts.facts():
        first = fact.wordings[0]["response"]
        assert fact.value in first
        assert fact.untrue()["response"] != first
        assert fact.wrong_values[0] in fact.untrue()["response"]
        assert fact.value in fact.paraphrase
    assert facts.facts()[0].value == "Bergen"
    assert facts.facts()[0].wrong_values == ("Riga", "Izmir", "Lima")
    taught = {pair["prompt"] for fact in facts.facts() for pair in fact.wordings}
    elsewhere = [*facts.kept(), *facts.unseen(), *(f.wordings[0] for f in facts.other_facts())]
    assert taught.isdisjoint(pair["prompt"] for pair in elsewhere)


def test_every_metric_is_tested_or_named():
    named = {each.cls.registered_name for each in all_of_the_package()} - {None}
    package = {
        name
        for name, cls in UnlearningMetric.registered().items()
        if cls.__module__.startswith("unlearnkit.")
    }
    assert named | set(LEFT_OUT) == package
    assert named.isdisjoint(LEFT_OUT)
    one = reading("Hilma Bastow was born in Bergen.")
    for each in all_of_the_package():
        assert each.value(one, one, one) is not None, each.name


def test_control_metrics_get_what_they_must():
    constant = judged(Candidate("constant", Constant, {}), members(), planted)
    assert constant["faithfulness"] == 0.5
    assert constant["r"] == constant["q"] == constant["robustness"] == 1.0
    perfect = judged(Candidate("told", Told, {}), members(), planted)
    assert perfect["faithfulness"] == 1.0
    # All comes back by relearning, and gold gains nothing.
    assert perfect["r"] == 0.0
    assert perfect["robustness"] == 0.0
    assert perfect["seconds"] == pytest.approx(1.0, abs=0.2)  # the generation


def test_a_low_value_of_a_loss_tells_of_knowledge():
    def read(member, state):
        return reading("", -1.0 if member.made.half == "knows" else -3.0)

    by_name = {each.name: each for each in all_of_the_package()}
    for name in ("nll", "probability", "truth_ratio (true_better)", "perplexity", "accuracy",
                 "truth_ratio (prob_mean)", "preference_rate"):  # fmt: skip
        assert judged(by_name[name], members(), read)["faithfulness"] == 1.0, name


def test_some_rows_of_a_reading_give_what_they_would_alone():
    one = reading("It is.")
    one["tokens"] = {**one["tokens"], "logps": [[-float(i)] for i in range(len(facts.facts()))]}
    some = restricted(one, [2, 5])
    assert some["tokens"]["logps"] == [[-2.0], [-5.0]]
    assert len(some["options"]) == 8
    metric = FieldExact()
    assert inputs_of(metric, some, some, some)[1] == [facts.facts()[i].value for i in (2, 5)]
    value = Candidate("probability", Probability, {}).value(some, some, some)
    assert value == pytest.approx((2.718281828**-2 + 2.718281828**-5) / 2)


def test_an_own_metric_is_taken_by_its_dotted_name():
    assert judged(own(f"{__name__}.Told"), members(), planted)["faithfulness"] == 1.0
    for name, said in (
        ("Demanding", "attention"),
        ("WithArguments", "without arguments"),
        ("FACTS", "no unlearningmetric"),
    ):
        with pytest.raises(UserError, match=said):
            own(f"{__name__}.{name}")


def test_the_zoo_is_made_once_and_what_was_cut_off_is_made_again(few, tmp_path, monkeypatch):
    made = []
    one = Zoo(tmp_path, made.append)
    wanted = [(Member("plain", 0), zoo.AS_IS), (Member("npo", 0), zoo.AS_IS),
              (Member("npo", 0), zoo.COARSE), (Member("npo", 0), zoo.RELEARNED),
              (Member("gold", 0), zoo.RELEARNED)]  # fmt: skip
    found = [one.reading(*each) for each in wanted]
    assert [line.split(":")[0] for line in made] == [
        "made base", "made plain-0", "made gold-0", "read plain-0, as it is", "made npo-0",
        "read npo-0, as it is", "read npo-0, coarse", "read npo-0, relearned",
        "read gold-0, relearned",
    ]  # fmt: skip
    assert one.seconds() > 0
    before, after = (
        Candidate("exact", ExactMemorization, {}).value(restricted(each, zoo.OTHERS), each, each)
        for each in (found[1], found[3])
    )
    assert before != after
    # Stopped while a model and a reading were being written.
    made.clear()
    (tmp_path / "models" / "npo-0.made.json").unlink()
    (tmp_path / "readings" / "npo-0.coarse.json").write_text('{"digest": "')
    again = Zoo(tmp_path, made.append)
    assert [again.reading(*each)["generated"] for each in wanted] == [f["generated"] for f in found]
    assert [line.split(":")[0] for line in made] == ["made npo-0", "read npo-0, coarse"]
    # Other settings are another model.
    made.clear()
    monkeypatch.setitem(kinds.UNLEARNING, "lr", 1e-5)
    again.reading(Member("npo", 0))
    assert [line.split(":")[0] for line in made] == ["made npo-0", "read npo-0, as it is"]


def test_the_table_has_the_most_faithful_first(tmp_path):
    results = Results(tmp_path / "meta.jsonl", KEY)
    given = {"r": 0.5, "q": 1.0, "robustness": 2 / 3, "noise": None, "seconds": 1.25}
    for name, value in (("one", 0.5), ("two", 0.9)):
        results.put({"kind": "metric", "name": name, "faithfulness": value,
                     "interval": [value - 0.1, value + 0.1], **given})  # fmt: skip
    results.put({"kind": "metric", "name": "none", **given})
    results.put({"kind": "depth", "name": "unlearned models", "models": 10, "correlation": -0.5,
                 "interval": [-0.9, 0.1]})  # fmt: skip
    lines = table(results).splitlines()
    assert lines[2] == "| `two` | 0.90 | 0.80 to 1.00 | 0.50 | 1.00 | 0.67 | – | 1.2 |"
    assert [line.split("`")[1] for line in lines[2:5]] == ["two", "one", "none"]
    assert lines[-1].endswith("over the 10 unlearned models: -0.50 (-0.90 to 0.10).")
    assert ordered([]) == []


def test_the_command_judges_one_own_metric_and_stores_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        Zoo, "reading", lambda self, member, state=zoo.AS_IS: planted(member, state)
    )
    monkeypatch.setattr(Zoo, "seconds", lambda self: 60.0)
    results = tmp_path / "meta.jsonl"
    words = ["--zoo", str(tmp_path), "--results", str(results), "--quick"]
    command.main([*words, "--metric", f"{__name__}.Told"])
    said = capsys.readouterr().out
    assert "Told`  1.00" in said
    assert "1.0 minutes" in said
    assert not results.exists()
    with pytest.raises(SystemExit, match="attention"):
        command.main([*words, "--metric", f"{__name__}.Demanding"])
