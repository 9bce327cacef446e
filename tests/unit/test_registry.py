from __future__ import annotations

import pytest

from unlearnkit.registry import Registered, UnknownName, did_you_mean, family_of


class Animal(Registered):
    pass


class Cat(Animal, name="cat", aliases=("felis",)):
    pass


def test_a_class_is_found_by_name_and_alias() -> None:
    assert Animal.resolve("cat") is Animal.resolve("felis") is Cat
    assert Animal.registered() == {"cat": Cat}
    assert (Cat.registered_name, family_of(Cat)) == ("cat", "animal")


def test_an_unknown_name_has_a_near_one_and_the_list() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'cat'") as caught:
        Animal.resolve("catt")
    assert "Known: cat" in (caught.value.hint or "")
    assert did_you_mean("zebra", ["cat"]) == ""


def test_a_name_is_lower_case_and_belongs_to_one_class() -> None:
    with pytest.raises(TypeError, match="lower_case"):

        class Dog(Animal, name="Dog"):
            pass

    with pytest.raises(TypeError, match="the name 'felis' belongs to"):

        class Lynx(Animal, name="lynx", aliases=("felis",)):
            pass


def test_classes_of_others_have_no_path_inside_the_package() -> None:
    assert Animal.at_path("unlearnkit.animals.Cat") is None
    assert Animal.at_path("my.Cat") is None
