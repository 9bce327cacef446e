"""Corruptions of embeddings, each against its definition."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.functional.corruption import CORRUPTIONS, NOISE, corrupt

ROW = torch.tensor([[[1.0, -3.0, 2.0], [4.0, 0.5, -1.0], [9.0, 9.0, 9.0]]])
FIRST_TWO = torch.tensor([[True, True, False]])


def changed(kind, dims, **given):
    return corrupt(ROW, FIRST_TWO, kind, dims=dims, **given)[0, :2].tolist()


@pytest.mark.parametrize(
    ("kind", "dims", "expected"),
    [
        ("zero_out_first_n", 2, [[0, 0, 2], [0, 0, -1]]),
        ("zero_out_top_k", 1, [[1, 0, 2], [0, 0.5, -1]]),
        ("flip_sign_first_n", 1, [[-1, -3, 2], [-4, 0.5, -1]]),
        ("flip_sign_top_k", 2, [[1, 3, -2], [-4, 0.5, 1]]),
        ("add_value_first_n", 2, [[1.5, -2.5, 2], [4.5, 1, -1]]),
        ("sub_value_first_n", 1, [[0.5, -3, 2], [3.5, 0.5, -1]]),
        ("sub_value_top_k", 1, [[1, -3, 1.5], [3.5, 0.5, -1]]),
        ("add_value_least_k", 1, [[1, -2.5, 2], [4, 0.5, -0.5]]),
        ("reverse_order", 1, [[4, 0.5, -1], [1, -3, 2]]),
    ],
)
def test_values_are_those_of_the_definition(kind, dims, expected) -> None:
    assert changed(kind, dims, strength=0.5) == expected


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_the_draw_of_a_place_times_the_strength(kind) -> None:
    generator = torch.Generator().manual_seed(7)
    noise = torch.stack([torch.randn(2, generator=generator) for _ in range(2)]) * 3.0
    columns = {
        "rand_noise_top_k": torch.tensor([[1, 2], [0, 2]]),
        "rand_noise_rand_n": torch.randperm(3, generator=torch.Generator().manual_seed(7))[
            None, :2
        ].expand(2, 2),
    }.get(kind, torch.tensor([[0, 1], [0, 1]]))
    old = ROW[0, :2]
    new = noise if kind.startswith("set") else old.gather(1, columns) + noise
    expected = old.scatter(1, columns, new)
    assert changed(kind, 2, strength=3.0, seed=7) == expected.tolist()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_row_is_the_same_in_every_batch_and_on_either_side(kind) -> None:
    torch.manual_seed(0)
    row = torch.randn(5, 4)
    left, right = torch.zeros(1, 8, 4), torch.zeros(1, 8, 4)
    left[0, 3:], right[0, :5] = row, row
    batch = torch.cat([left, right])
    chosen = torch.zeros(2, 8, dtype=torch.bool)
    chosen[0, 3:7], chosen[1, :4] = True, True
    places = (torch.arange(8)[None] - torch.tensor([[3], [0]])).clamp(min=0)
    found = corrupt(batch, chosen, kind, dims=2, strength=2.0, places=places)
    alone = corrupt(row[None], torch.tensor([[True] * 4 + [False]]), kind, dims=2, strength=2.0)
    assert found[0, 3:].equal(alone[0])
    assert found[1, :5].equal(alone[0])
    assert not found[0, 3:7].equal(row[:4])
    assert found[~chosen].equal(batch[~chosen])  # what is not chosen, bit for bit


def test_an_order_is_one_of_the_same_tokens() -> None:
    rows = torch.arange(24.0).view(1, 8, 3)
    chosen = torch.tensor([[True, False] * 4])
    found = corrupt(rows, chosen, "shuffle", seed=1)[chosen]
    assert sorted(found.tolist()) == rows[chosen].tolist()
    assert found.tolist() != rows[chosen].tolist()


def test_without_a_chosen_token_nothing_changes() -> None:
    for kind in CORRUPTIONS:
        assert corrupt(ROW, torch.zeros(1, 3, dtype=torch.bool), kind).equal(ROW)


def test_gradients_reach_the_embeddings() -> None:
    given = ROW.clone().requires_grad_()
    corrupt(given, FIRST_TWO, "flip_sign_first_n", dims=1).sum().backward()
    assert given.grad is not None
    assert given.grad[0, :, 0].tolist() == [-1.0, -1.0, 1.0]
