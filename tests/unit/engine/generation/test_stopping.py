from __future__ import annotations

import torch
from stub import stub_model, stub_tokenizer

from unlearnkit.engine.generation.stopping import RowsDone, cache_of_rows, decode

A, B, EOS = 4, 5, 3


def done(leave: bool, *rows: list[int], limits: list[int], stop: list[str] = []) -> list[bool]:  # noqa: B006
    criteria = RowsDone(stub_tokenizer(), 1, limits, stop, [EOS], leave=leave)
    return criteria(torch.tensor([[A, *row] for row in rows]), None).tolist()


def test_a_row_ends_at_its_limit_its_end_token_or_a_stop_string() -> None:
    rows = [[A] * 8, [EOS, *[A] * 7], [*[A] * 7, B], [B, *[A] * 7]]
    assert done(False, *rows, limits=[8, 9, 9, 9], stop=["ab"]) == [True, True, True, False]


def test_the_batch_is_left_once_half_of_the_rows_have_ended() -> None:
    eight, ended = [A] * 8, [EOS, *[A] * 7]
    assert done(True, ended, eight, eight, limits=[9] * 3) == [True, False, False]
    assert done(True, ended, ended, eight, limits=[9] * 3) == [True, True, True]
    assert done(True, [A], [A], [A], limits=[1, 1, 9]) == [True, True, True]


def test_the_host_reads_once_in_eight_tokens(monkeypatch) -> None:
    """Fourteen of sixteen tokens are looked at on the device alone."""
    reads: list[int] = []
    token = 0
    for name in ("tolist", "item", "__bool__", "__int__", "__float__", "numpy"):
        own = getattr(torch.Tensor, name)

        def spy(tensor, *arguments, own=own):
            reads.append(token)
            return own(tensor, *arguments)

        monkeypatch.setattr(torch.Tensor, name, spy)
    criteria = RowsDone(stub_tokenizer(), 1, [40] * 4, ["zz"], [EOS], leave=True)
    ids = torch.full((4, 17), A)
    ids[0, 3] = ids[1, 11] = EOS
    expected = {2: [False] * 4, 3: [True, *[False] * 3], 11: [True, True, False, False]}
    found = {}
    for token in range(1, 17):
        found[token] = criteria(ids[:, : token + 1], None)
    assert set(reads) == {8, 16}
    monkeypatch.undo()
    assert {token: found[token].tolist() for token in expected} == expected
    assert found[8].tolist() == expected[3]
    assert found[16].tolist() == [True] * 4


def test_texts_have_no_control_tokens() -> None:
    assert decode(stub_tokenizer(), [2, A, B, EOS]) == "ab"


def test_rows_can_be_taken_out_of_the_cache_of_a_plain_model() -> None:
    cache = cache_of_rows(stub_model())
    assert cache is not None

    class Own(torch.nn.Module):
        pass

    assert cache_of_rows(Own()) is None
