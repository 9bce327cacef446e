"""Losses of stub models, worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from rounding import near
from rows import FORGET, OVERLAPPING, RETAIN
from short_fits import objective, qa, stub_data, stub_module, train
from stub import BITS, NATS_PER_BIT, stub_model

from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StepDataset
from unlearnkit.engine.reference.kinds import frozen_copy
from unlearnkit.engine.step.attention import use_tree_attention

SWAPPED = {**BITS, "a": 4, "d": 2}
"""Where the stub's ``a`` and ``d`` change places."""
SHARP = dict.fromkeys(BITS, 4) | {"<pad>": 5, "<unk>": 5, "d": 1}
VALUES_OF_NPO = {
    1.0: [0.12124924363286968, 5.666426688112432],
    0.1: [11.281923670616049, 16.827101115095612],
}


def kl(reference: dict[str, int], policy: dict[str, int]) -> float:
    """KL(reference ‖ policy) in nats, of distributions in bits."""
    return sum(2**-bits * (policy[t] - bits) for t, bits in reference.items()) * NATS_PER_BIT


def _reference_is(module, spec) -> None:
    """Gives the module another reference than its own start."""
    reference = frozen_copy(stub_model(spec))
    module.reference = reference


def _values(folder: Path, name: str, policy, reference, rows: list[int] | None = None, **kwargs):
    """The objective's value on the rows of forget.jsonl, without training."""
    module = stub_module({"forget": objective(name, **kwargs)}, policy, layout="rows")
    if module.reference is not None:
        _reference_is(module, reference)
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=1, shuffle=False)
    data.check()
    steps = StepDataset(data.make_plan(), "forget", data.data["forget"], rank=0)
    found = []
    for step in rows or range(len(data.data["forget"])):
        views = module(pack({"forget": steps[step]}, "rows"))
        found.append(module.objectives["forget"](views).item())
    return found


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_a_shift_of_all_logits_changes_nothing(written, beta: float) -> None:
    folder = written(forget="d:ab e:caab")
    # 2 log 2 / beta where policy and reference are equal.
    expected, shift = 2 * math.log(2) / beta, 5.0
    module = stub_module(
        {
            "forget": objective("npo", beta=beta),
            "kl": objective("retain_kl", stream="forget"),
            "ascent": objective("gradient_ascent"),
        },
        {},
    )
    plain = stub_module({"ascent": objective("gradient_ascent")}, {})
    head = module.policy.lm_head
    head.bias = torch.nn.Parameter(torch.full((head.out_features,), shift))
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=2)
    seen = train(module, data, max_steps=1).figures[0]
    unshifted = train(plain, stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=2),
                      max_steps=1).figures[0]  # fmt: skip
    assert seen["forget"] == pytest.approx(expected, rel=1e-5)
    assert seen["kl"] == near(0.0, size=shift + 4 * NATS_PER_BIT)
    assert seen["kl"] + 1e-3 != near(0.0, size=shift + 4 * NATS_PER_BIT)
    assert seen["ascent"] == pytest.approx(unshifted["ascent"], rel=1e-5)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_npo_punishes_what_became_more_likely(written, beta: float) -> None:
    folder = written(forget="b:aa b:dd")
    # aa went from 2 bits a token to 4, dd from 4 to 2; EOS stays at 3. 2/beta log(1 + r^beta).
    expected = [2 / beta * math.log(1 + ratio**beta) for ratio in (1 / 16, 16)]
    assert expected == pytest.approx(VALUES_OF_NPO[beta])
    found = _values(folder, "npo", {"bits": SWAPPED}, {}, beta=beta)
    assert found == pytest.approx(expected, rel=1e-5)


def test_sums_and_means_do_not_depend_on_the_other_rows(written) -> None:
    folder = written(forget="d:aa d:aaaaaaaa")
    # -2 log sigmoid(-mean log-probability): 7 bits over 3 tokens, 19 over 9.
    means = [bits / tokens * NATS_PER_BIT for bits, tokens in ((7, 3), (19, 9))]
    expected = [2 * math.log(1 + math.exp(-mean)) for mean in means]
    assert expected == pytest.approx([0.362016608870905, 0.41641500857955915])
    alone = _values(folder, "simnpo", {}, {}, beta=1.0, gamma=0.0)
    assert alone == near(expected, size=4 * NATS_PER_BIT)
    assert alone != near(expected[::-1], size=4 * NATS_PER_BIT)
    npo = _values(folder, "npo", {}, {}, beta=1.0)
    assert npo == near([2 * math.log(2)] * 2)
    assert npo != near([math.log(2)] * 2)
    module = stub_module({"forget": objective("simnpo", beta=1.0)}, {})
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=2)
    together = train(module, data, max_steps=1).figures[0]["forget"]
    assert together == near(sum(alone) / 2, size=4 * NATS_PER_BIT)
    assert together != near(alone[0], size=4 * NATS_PER_BIT)


def test_kl_is_zero_at_the_start_and_runs_from_the_reference(written) -> None:
    folder = written(forget=FORGET, retain=RETAIN)
    policy, reference = {"bits": SHARP}, {}
    forward, reverse = (kl(*pair) for pair in ((BITS, SHARP), (SHARP, BITS)))
    assert (forward, reverse) == pytest.approx((0.5631820842049555, 0.7797905781299385))
    for layout in ("packed", "rows"):
        for start, end, direction, value, wrong in (
            (reference, reference, "forward", 0.0, forward),
            (policy, reference, "forward", forward, reverse),
            (policy, reference, "reverse", reverse, forward),
        ):
            module = stub_module(
                {"retain": objective("retain_kl", direction=direction)}, start, layout=layout
            )
            _reference_is(module, end)
            if layout == "packed":
                use_tree_attention(module.reference.model)
            streams = {"forget": qa(folder / "forget.jsonl"), "retain": qa(folder / "retain.jsonl")}
            seen = train(module, stub_data(streams, batch_size=2), max_steps=1).figures[0]
            # A sum over the vocabulary of differences of log-probabilities, 5 bits at most.
            assert seen["retain"] == near(value, size=5 * NATS_PER_BIT)
            assert seen["retain"] != near(wrong, size=5 * NATS_PER_BIT)


def test_each_term_is_its_own_series(written) -> None:
    folder = written(forget=FORGET, retain=OVERLAPPING)
    module = stub_module(
        {
            "forget": objective("gradient_ascent", weight=0.5),
            "retain": objective("retain_nll", weight=2.0),
        },
        {},
    )
    streams = {"forget": qa(folder / "forget.jsonl"), "retain": qa(folder / "retain.jsonl")}
    seen = train(module, stub_data(streams, batch_size=4), max_steps=1).figures[0]
    tokens = 6 + 3
    bits = (3 + 4) + (4 + 4) + (4 + 2) + 3 * 3
    assert seen["forget"] == near(-bits / tokens * NATS_PER_BIT)
    assert seen["forget"] != near(-bits / (tokens - 3) * NATS_PER_BIT)
    assert seen["total"] == near(2.0 * seen["retain"] + 0.5 * seen["forget"])
    assert seen["total"] != near(seen["retain"] + seen["forget"])
