from __future__ import annotations

import pytest

from unlearnkit.data.example import Example
from unlearnkit.data.pack import pack, part_of, row_lengths
from unlearnkit.data.sampler import StreamBatch


def batches(**streams: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> dict[str, StreamBatch]:
    return {
        name: StreamBatch(tuple(Example(p, r, i, "") for i, (p, r) in enumerate(rows)), 2.0, 1.0)
        for name, rows in streams.items()
    }


SHARED = batches(forget=[((7, 8), (1, 2, 3))], mismatch=[((7, 8), (4, 5)), ((9,), (6,))])


def test_equal_prompts_stand_once_and_a_last_token_is_no_input() -> None:
    batch = pack(SHARED)
    # The prompts by size, then the responses by size: (9), (7, 8), (4), (1, 2).
    assert batch.input_ids.tolist() == [[9, 7, 8, 4, 1, 2]]
    assert batch.position_ids.tolist() == [[0, 0, 1, 2, 2, 3]]
    assert batch.target.tolist() == [1, 2, 3, 4, 5, 6]
    # Each first token is predicted where its prompt ends, the others by the token before.
    assert batch.source.tolist() == [2, 4, 5, 2, 3, 0]
    assert batch.sequence.tolist() == [0, 0, 0, 1, 1, 2]


def test_parts_of_one_size_follow_each_other_whatever_lies_between_them() -> None:
    """Each run of them is one call of attention."""
    rows = [((p, p), (1, 2, 3)[: 2 + r % 2]) for p in range(5, 9) for r in range(4)]
    plan = pack(batches(forget=[*rows, ((9, 9), (4, 5, 6)), ((3, 3, 3), (4,))])).attention
    assert plan is not None
    # Four prompts of 2 tokens; (9 9 4 5) and (3 3 3); eight responses each with 1 and 2 inputs.
    assert plan.runs == ((4, 2, 2), (1, 3, 3), (1, 4, 4), (8, 1, 3), (8, 2, 4))


def test_rows_are_padded_on_the_right() -> None:
    batch = pack(SHARED, "rows")
    assert batch.input_ids.tolist() == [[7, 8, 1, 2], [7, 8, 4, 0], [9, 0, 0, 0]]
    assert batch.source.tolist() == [1, 2, 3, 5, 6, 8]
    assert batch.prompt_lengths.tolist() == [2, 2, 1]


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_streams_lie_one_after_the_other(layout) -> None:
    batch = pack(SHARED, layout)
    assert batch.streams["mismatch"].tokens == slice(3, 6)
    assert (batch.streams["mismatch"].rows, batch.sequences) == ((0, 1), 3)
    assert row_lengths(batch) == [4, 3, 1]
    part, tokens = part_of(batch, [0, 2])
    assert part.target.tolist() == [1, 2, 3, 6]
    assert tokens.tolist() == [0, 1, 2, 5]


def test_the_last_token_is_kept_where_its_state_is_read() -> None:
    batch = pack(SHARED, "rows", keep_last=True)
    assert batch.input_ids.tolist()[0] == [7, 8, 1, 2, 3]
    assert batch.place.tolist()[:3] == [2, 3, 4]  # where the tokens themselves stand
