"""Settings that tell recipes apart."""

from unlearnkit.runs.other.settings import MOST_VALUES, as_given, differing, told_apart


def test_recipes_of_one_name_are_held_against_each_other():
    recipes = [{"lr": 1, "model": {"r": 8}}, {"lr": 1, "model": {"r": 4}}, {"lr": 3}]
    assert differing(["a", "a", "b"], recipes) == [[("model.r", 8)], [("model.r", 4)], []]


def test_all_recipes_are_told_apart_where_few_settings_do_it():
    assert told_apart(["a", "b"], [{"lr": 1, "r": 8}, {"lr": None, "r": 8}]) == [
        (("lr", "1"),),
        (("lr", "null"),),
    ]
    # Where another recipe differs in much, those of one name are still told apart.
    many = {f"key{number}": number for number in range(MOST_VALUES + 1)}
    assert told_apart(["a", "a", "b"], [{"lr": 1}, {"lr": 2}, many]) == [
        (("lr", "1"),),
        (("lr", "2"),),
        (),
    ]
    assert told_apart(["a", "a"], [many, dict.fromkeys(many, 9)]) == [(), ()]


def test_a_value_of_all_phases_is_the_one_at_the_top():
    phases = {"phases": [{"lr": 1}, {"lr": 1}]}
    assert told_apart(["a", "b"], [phases, {"lr": 1}]) == [(), ()]
    assert told_apart(["a", "b"], [phases, {"lr": 2}])[1] == (("lr", "2"),)


def test_values_are_told_as_yaml_has_them():
    assert [as_given(each) for each in (None, True, 1e-3, "text")] == [
        "null", "true", "0.001", "text"
    ]  # fmt: skip
