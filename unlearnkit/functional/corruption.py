"""Changes embeddings of prompts so that their answers are lost."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

NOISE = ("rand_noise_first_n", "rand_noise_rand_n", "rand_noise_top_k", "set_rand_noise_first_n")
SHIFTS = ("add_value_first_n", "sub_value_first_n", "add_value_least_k", "sub_value_top_k")
ORDERS = ("reverse_order", "shuffle")
WITHOUT_STRENGTH = (
    "zero_out_first_n", "zero_out_top_k", "flip_sign_first_n", "flip_sign_top_k", *ORDERS,
)  # fmt: skip
WITHOUT_SEED = (*SHIFTS, *(each for each in WITHOUT_STRENGTH if each != "shuffle"))
CORRUPTIONS = (*NOISE, *SHIFTS, *WITHOUT_STRENGTH)
"""All kinds, by the names of the published code."""


def corrupt(
    embedded: Tensor,
    chosen: Tensor,
    kind: str = "rand_noise_first_n",
    *,
    dims: int = 1,
    strength: float = 1.0,
    seed: int = 0,
    places: Tensor | None = None,
) -> Tensor:
    r"""Embeddings of which those of chosen tokens are corrupted.

    A kind says which dimensions are meant: the first (``first_n``), the same random ones of all
    tokens (``rand_n``), those of a token with the largest magnitude (``top_k``; of
    ``sub_value_top_k`` the largest values) or with the least values (``least_k``). They have noise
    of standard deviation ``strength`` added, or set in their place, are shifted by ``strength``,
    set to 0, or negated. ``reverse_order`` and ``shuffle`` put the chosen tokens of a row in
    another order.

    Args:
        embedded: ``[B, T, H]``.
        chosen: ``[B, T]``, true where a token is to be corrupted.
        kind: One of `CORRUPTIONS`.
        dims: How many dimensions.
        strength: Of noise and shifts; without meaning to others.
        seed: Of all draws.
        places: ``[B, T]`` which draw of noise a token has, from 0; by default its place in the
            row. One place has the same noise in every row and every call.

    Returns:
        ``[B, T, H]``; all other embeddings are the same bit for bit.

    Example:
        >>> prompt = torch.tensor([[[1.0, -3.0], [2.0, 4.0]]])
        >>> corrupt(prompt, torch.tensor([[True, False]]), "zero_out_top_k", dims=1)
        tensor([[[1., 0.],
                 [2., 4.]]])

    References:
        Liu, Wang, Flanigan, Liu 2024, "Large Language Model Unlearning via Embedding-Corrupted
        Prompts" (ECO), arXiv 2406.07933.
    """
    found = embedded.clone()
    if not bool(chosen.any()):
        return found
    if kind in ORDERS:
        for row, here in enumerate(chosen):
            which = here.nonzero()[:, 0]
            found[row, which] = embedded[row, which[_order(kind, len(which), seed)]]
        return found
    values = embedded[chosen]
    if places is None:
        places = torch.arange(embedded.shape[1], device=embedded.device).expand_as(chosen)
    columns = _columns(kind, values, dims, seed)
    old = values.gather(1, columns)
    if kind in NOISE:
        noise = _noise(places[chosen], dims, seed).to(old) * strength
        new = noise if kind.startswith("set_") else old + noise
    else:
        new = _CHANGES[kind.partition("_")[0]](old, strength)
    found[chosen] = values.scatter(1, columns, new)
    return found


def _columns(kind: str, values: Tensor, dims: int, seed: int) -> Tensor:
    """``[N, dims]`` dimensions of each token."""
    count, size = values.shape
    if kind.endswith("first_n"):
        return torch.arange(dims, device=values.device).expand(count, -1)
    if kind.endswith("rand_n"):
        drawn = torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:dims]
        return drawn.to(values.device).expand(count, -1)
    ranked = values if kind in SHIFTS else values.abs()
    return ranked.topk(dims, dim=1, largest=not kind.endswith("least_k")).indices


def _noise(places: Tensor, dims: int, seed: int) -> Tensor:
    """``[N, dims]`` normal draws; one a place, from the first on, whatever places there are."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(dims, generator=generator) for _ in range(int(places.max()) + 1)]
    return torch.stack(drawn)[places.cpu()].to(places.device)


def _order(kind: str, count: int, seed: int) -> Tensor:
    if kind == "reverse_order":
        return torch.arange(count).flip(0)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


_CHANGES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "add": lambda old, strength: old + strength,
    "sub": lambda old, strength: old - strength,
    "zero": lambda old, _: torch.zeros_like(old),
    "flip": lambda old, _: -old,
}
