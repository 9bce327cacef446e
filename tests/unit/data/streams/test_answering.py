from __future__ import annotations

import pytest

from unlearnkit.data import IdkStream
from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.streams.answering import stream_of_rows
from unlearnkit.errors import RecipeError

OTHERS = {"forget": EncodedRows("forget", "forget.jsonl"), "retain": EncodedRows("retain", "r")}


def test_it_follows_the_stream_of_its_prompts() -> None:
    stream = IdkStream(prompts="retain", per_prompt=2)
    assert stream.depends_on() == ("retain",)
    assert stream.prompt_rows("idk", OTHERS) is OTHERS["retain"]
    with pytest.raises(RecipeError, match="per_prompt: expected at least 1, found 0"):
        IdkStream(per_prompt=0)


def test_a_stream_that_is_not_there_is_named_with_a_near_one() -> None:
    with pytest.raises(RecipeError, match=r"data\.streams\.idk\.prompts: 'forgt' is not") as caught:
        stream_of_rows("idk", "prompts", "forgt", OTHERS)
    assert "Did you mean 'forget'?" in caught.value.message
