from __future__ import annotations

import torch
from stub import stub_model, stub_tokenizer

from unlearnkit.engine.generation.stopping import RowsDone, cache_of_rows, decode

A, B, EOS = 4, 5, 3


def done(leave: bool, *rows: list[int], limits: list[int], stop: list[str] = []) -> list[bool]:  # noqa: B006
    criteria = RowsDone(stub_tokenizer(), 1, limits, stop, [EOS], leave=leave)
    return criteria(torch.tensor([[A, *row] for row in rows]), None).tolist()


def test_a_row_ends_at_its_limit_its_end_token_or_a_stop_string() -> None:
    rows = [[A, A], [EOS, A], [A, B], [B, A]]
    assert done(False, *rows, limits=[2, 9, 9, 9], stop=["ab"]) == [True, True, True, False]


def test_the_batch_is_left_once_half_of_the_rows_have_ended() -> None:
    assert done(True, [EOS], [A], [A], limits=[9] * 3) == [True, False, False]
    assert done(True, [EOS], [EOS], [A], limits=[9] * 3) == [True, True, True]


def test_texts_have_no_control_tokens() -> None:
    assert decode(stub_tokenizer(), [2, A, B, EOS]) == "ab"


def test_rows_can_be_taken_out_of_the_cache_of_a_plain_model() -> None:
    cache = cache_of_rows(stub_model())
    assert cache is not None

    class Own(torch.nn.Module):
        pass

    assert cache_of_rows(Own()) is None
