"""Cases 18 to 23: values that can be worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from cases.runs import objective, qa, stub_data, stub_module, train
from rounding import near
from stub import NATS_PER_BIT, read_spec, stub_model

from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StepDataset
from unlearnkit.engine.reference.kinds import frozen_copy
from unlearnkit.engine.step.attention import use_tree_attention


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
def test_18_a_shift_of_all_logits_changes_nothing(case_folder, beta: float) -> None:
    folder = case_folder("18")
    expected = json.loads((folder / "expected.json").read_text())
    shift = json.loads((folder / "shift.json").read_text())["add_to_all_logits"]
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
    assert seen["forget"] == pytest.approx(expected[f"npo_beta_{beta:g}"], rel=1e-5)
    assert seen["kl"] == near(expected["kl"], size=shift + 4 * NATS_PER_BIT)
    assert seen["kl"] + 1e-3 != near(expected["kl"], size=shift + 4 * NATS_PER_BIT)
    assert seen["ascent"] == pytest.approx(unshifted["ascent"], rel=1e-5)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_19_npo_punishes_what_became_more_likely(case_folder, beta: float) -> None:
    folder = case_folder("19")
    expected = json.loads((folder / "expected.json").read_text())[f"beta_{beta:g}"]
    policy, reference = read_spec(folder / "stub_policy.json"), read_spec(folder / "stub.json")
    found = _values(folder, "npo", policy, reference, beta=beta)
    assert found == pytest.approx([expected["row1"], expected["row2"]], rel=1e-5)


def test_20_sums_and_means_do_not_depend_on_the_other_rows(case_folder) -> None:
    folder = case_folder("20")
    expected = json.loads((folder / "expected.json").read_text())["simnpo_with_eos"]
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


def test_21_kl_is_zero_at_the_start_and_runs_from_the_reference(case_folder) -> None:
    folder = case_folder("21")
    expected = json.loads((folder / "expected.json").read_text())
    policy, reference = read_spec(folder / "stub_policy.json"), read_spec(folder / "stub.json")
    for layout in ("packed", "rows"):
        for start, end, direction, value, wrong in (
            (reference, reference, "forward", expected["equal"], expected["forward"]),
            (policy, reference, "forward", expected["forward"], expected["reverse"]),
            (policy, reference, "reverse", expected["reverse"], expected["forward"]),
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


def test_23_each_term_is_its_own_series(case_folder) -> None:
    folder = case_folder("23")
    expected = json.loads((folder / "expected.json").read_text())
    module = stub_module(
        {
            "forget": objective("gradient_ascent", weight=0.5),
            "retain": objective("retain_nll", weight=2.0),
        },
        {},
    )
    streams = {"forget": qa(folder / "forget.jsonl"), "retain": qa(folder / "retain.jsonl")}
    seen = train(module, stub_data(streams, batch_size=4), max_steps=1).figures[0]
    tokens = expected["forget_tokens_no_eos"] + 3
    bits = expected["forget_bits_no_eos"] + 3 * 3
    assert seen["forget"] == near(-bits / tokens * NATS_PER_BIT)
    assert seen["forget"] != near(-bits / (tokens - 3) * NATS_PER_BIT)
    assert seen["total"] == near(2.0 * seen["retain"] + 0.5 * seen["forget"])
    assert seen["total"] != near(seen["retain"] + seen["forget"])
