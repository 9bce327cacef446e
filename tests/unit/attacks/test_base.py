from __future__ import annotations

import pytest
from stub import stub_tokenizer

from unlearnkit.attacks.base import Attack, Target, check_limit
from unlearnkit.data import ParaphraseStream
from unlearnkit.data.datamodule import UnlearningDataModule
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


def test_of_rows_in_several_wordings_the_own_one_is_attacked():
    rows = [{"prompt": "a", "response": "b", "more": ["c", "d"]}]
    stream = ParaphraseStream(rows, prompts="more")
    data = UnlearningDataModule({"forget": stream}, tokenizer=stub_tokenizer(), max_length=64)
    data.check()
    (own,) = Target.of(data).examples
    assert data.tokenizer.decode(own.prompt_ids) == "a"
