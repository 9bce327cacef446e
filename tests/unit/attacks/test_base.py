from __future__ import annotations

import pytest

from unlearnkit.attacks.base import Attack, check_limit
from unlearnkit.errors import UserError


def test_settings_are_the_options_of_the_constructor() -> None:
    class Poke(Attack):
        def __init__(self, times: int = 2, how: str = "soft") -> None:
            self.times, self.how = times, how

        def prepare(self, target):
            return []

        def run(self, base, rows, target):
            return []

    assert Poke(3).settings == {"times": 3, "how": "soft"}


def test_a_limit_is_at_least_1() -> None:
    assert check_limit(1) == 1
    with pytest.raises(UserError, match="expected at least 1, found 0"):
        check_limit(0)
