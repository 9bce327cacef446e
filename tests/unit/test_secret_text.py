from __future__ import annotations

import time

import pytest

from unlearnkit.secret_text import mask_named


def test_the_value_alone_is_masked_and_its_quotes_stay() -> None:
    assert mask_named("a password: 'x y', b") == "a password: '***', b"
    assert mask_named("token=abc&b=2; api_key=d") == "token=***&b=2; api_key=***"
    assert mask_named("Cookie: a=1; b") == "Cookie: ***; b"


@pytest.mark.parametrize("part", ["a-", "password:", "token ", "a_token ", "--api-key ", "'"])
def test_long_texts_take_linear_time(part) -> None:
    def took(times: int) -> float:
        start = time.process_time()
        mask_named(part * times)
        return time.process_time() - start

    assert took(20_000) < 40 * max(took(2_000), 0.001)
