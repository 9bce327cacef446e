import pytest

import unlearnkit.objectives
from unlearnkit.errors import RecipeError
from unlearnkit.objectives import GradientAscent, Objective

EXPECTED = {
    "adaptive_rmu",
    "answer_preservation",
    "ceu",
    "d2o",
    "dpo",
    "flat",
    "generic_labels",
    "gradient_ascent",
    "idk",
    "ihl",
    "ilu",
    "jensun",
    "l2_to_reference",
    "negative_kl",
    "nll",
    "npo",
    "orthogonal_lora",
    "pdu",
    "random_mismatch",
    "retain_hidden",
    "retain_js",
    "retain_kl",
    "retain_nll",
    "rmu",
    "safe_unlearning",
    "satimp",
    "simnpo",
    "undial",
    "uniform_kl",
    "unilogit",
    "unlikelihood",
    "weighted_gradient_ascent",
}


def ours():
    return {
        k: c for k, c in Objective.registered().items() if c.__module__.startswith("unlearnkit")
    }


def test_registered_names():
    assert set(ours()) == EXPECTED


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("ga", "gradient_ascent"),
        ("grad_ascent", "gradient_ascent"),
        ("wga", "weighted_gradient_ascent"),
    ],
)
def test_aliases(alias, name):
    assert Objective.resolve(alias) is Objective.resolve(name)


def test_every_class_is_found_in_the_package_by_name():
    for cls in ours().values():
        assert getattr(unlearnkit.objectives, cls.__name__) is cls
        assert cls.__name__ in dir(unlearnkit.objectives)


def test_an_unknown_attribute():
    with pytest.raises(AttributeError, match="GradientAscnt"):
        unlearnkit.objectives.GradientAscnt  # noqa: B018


def test_every_class_says_what_it_is_and_where_it_comes_from():
    for name, cls in ours().items():
        assert cls.__doc__, name
        assert (cls.paper and "References:" in cls.__doc__) or name == "nll", name


def test_negative_weight():
    with pytest.raises(RecipeError, match="at least 0, found -1"):
        GradientAscent(weight=-1)


@pytest.mark.parametrize("name", [k for k, c in ours().items() if c.compat_values])
def test_unknown_compat(name):
    cls = Objective.resolve(name)
    first = next(iter(cls.compat_values))
    with pytest.raises(RecipeError, match=f"'{first[:-1]}' is unknown") as caught:
        cls(compat=first[:-1])
    assert all(value in str(caught.value) for value in cls.compat_values)


@pytest.mark.parametrize(
    ("name", "arguments", "found"),
    [
        ("nll", {"reduction": "mean"}, "'mean'"),
        ("retain_kl", {"direction": "backward"}, "'backward'"),
        ("retain_kl", {"direction": "reverse", "compat": "llm_unlearn"}, "'llm_unlearn'"),
        ("npo", {"beta": 0.0}, "beta must be above 0, found 0.0"),
        ("simnpo", {"beta": -1.0}, "beta must be above 0, found -1.0"),
        ("dpo", {"beta": 0.0}, "beta must be above 0, found 0.0"),
        ("dpo", {"scale": "simpo"}, "'simpo'"),
        ("d2o", {"alpha": 0.0}, "alpha must be above 0, found 0.0"),
        ("safe_unlearning", {"beta": 0.0}, "beta must be above 0, found 0.0"),
        ("ceu", {"ignore_first_n": -1}, "found -1"),
        ("rmu", {"layer": -1}, "found -1"),
        ("flat", {"divergence": "hellinger"}, "'hellinger'"),
        ("pdu", {"dual": -1.0}, "dual must be at least 0, found -1.0"),
        ("pdu", {"dual_step_size": -1.0}, "dual_step_size must be at least 0, found -1.0"),
    ],
)
def test_bad_arguments(name, arguments, found):
    with pytest.raises(RecipeError, match=found):
        Objective.resolve(name)(**arguments)
