"""Precision of policy and reference, and compiled blocks (case 36)."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from peft import LoraConfig
from rounding import near
from rows import UNEQUAL
from short_fits import objective, qa, stub_data, stub_module, train
from stub import BITS, set_logits, stub_model

from unlearnkit import UnlearningModule
from unlearnkit.errors import RecipeError

LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])


def _fit(folder, precision="32-true", max_steps=3, spec=None, **arguments):
    torch.manual_seed(0)
    module = stub_module(
        {"forget": objective("npo"), "retain": objective("retain_kl")},
        {"random_init": 1, **(spec or {})},
        lr=0.1,
        **arguments,
    )
    streams = {name: qa(folder / f"{name}.jsonl") for name in ("forget", "retain")}
    data = stub_data(streams, batch_size=2)
    return module, train(module, data, max_steps=max_steps, precision=precision).figures


def _dtypes(model) -> set[torch.dtype]:
    return {p.dtype for p in model.parameters()}


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("bf16-true", torch.bfloat16),
        ("bf16-mixed", torch.float32),
        ("16-true", torch.float16),
    ],
)
def test_each_precision_trains_near_float32(written, precision, dtype, lora) -> None:
    folder = written(**UNEQUAL)
    _, whole = _fit(folder, lora=lora)
    module, found = _fit(folder, precision, lora=lora)
    assert _dtypes(module.policy) == {dtype}
    assert [each["total"] for each in found] == pytest.approx(
        [each["total"] for each in whole], rel=1e-2
    )
    # At the start policy and reference are one model, in whatever precision.
    assert found[0]["retain"] == near(0.0, size=4.0)
    assert found[0]["forget_log_ratio"] == near(0.0, size=4.0)


@pytest.mark.filterwarnings("ignore")
def test_float16_autocast_becomes_bfloat16_on_a_cpu(written) -> None:
    """Lightning does so, with a warning."""
    folder = written(**UNEQUAL)
    _, half = _fit(folder, "16-mixed")
    _, brain = _fit(folder, "bf16-mixed")
    assert half == brain


@pytest.mark.parametrize(
    ("precision", "reference_dtype", "dtypes"),
    [
        ("32-true", "bfloat16", (torch.float32, torch.bfloat16)),
        ("bf16-true", "float32", (torch.bfloat16, torch.float32)),
        ("bf16-true", None, (torch.bfloat16, torch.bfloat16)),
    ],
)
def test_a_reference_of_another_type_than_the_policy(
    written, precision, reference_dtype, dtypes
) -> None:
    folder = written(**UNEQUAL)
    _, whole = _fit(folder)
    module, found = _fit(folder, precision, reference_dtype=reference_dtype)
    assert (_dtypes(module.policy), _dtypes(module.reference.model)) == tuple({d} for d in dtypes)
    assert [each["total"] for each in found] == pytest.approx(
        [each["total"] for each in whole], rel=1e-2
    )


def test_the_log_ratio_of_two_types_is_that_of_their_logits(written) -> None:
    """A float32 policy against a reference in bfloat16, which rounds its logits and no more."""
    folder = written(forget="a:" + "abcde" * 40)
    start, logits = stub_model(), torch.linspace(-4, 0, len(BITS))
    set_logits(start, logits)
    module = UnlearningModule(
        {"forget": objective("npo")}, optimizer=partial(torch.optim.SGD, lr=0.0),
        layout="rows", reference_dtype="bfloat16",
    )  # fmt: skip
    module.use_model(start)
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=1, shuffle=False)
    seen = train(module, data, max_steps=1).figures[0]
    target = list(data.data["forget"].at(0, 0)[0].response_ids)
    policy, reference = (
        each.double().log_softmax(-1)[target].sum().item() for each in (logits, logits.bfloat16())
    )
    # The difference of two sums near -400 holds their last digits in float32.
    assert seen["forget_log_ratio"] == near(policy - reference, size=abs(policy))
    assert seen["forget_log_ratio"] != near(0.0, size=abs(policy))


def test_a_dtype_of_a_reference_without_weights_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"reference_dtype: bfloat16: .*'adapter_off'"):
        stub_module({"forget": objective("npo")}, lora=LORA, reference_dtype="bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "arguments"),
    [("packed", {}), ("rows", {"lora": LORA, "gradient_checkpointing": True})],
)
def test_compiled_blocks_train_as_plain_ones(written, layout, arguments) -> None:
    torch.compiler.reset()
    spec = {"layers": 1}
    _, plain = _fit(written(**UNEQUAL), spec=spec, layout=layout, **arguments)
    calls = torch._dynamo.utils.counters["stats"]["calls_captured"]
    _, compiled = _fit(written(**UNEQUAL), spec=spec, layout=layout, compile=True, **arguments)
    assert torch._dynamo.utils.counters["stats"]["calls_captured"] > calls
    for one, other in zip(plain, compiled, strict=True):
        assert other == pytest.approx(one, abs=1e-4)


def test_compiling_without_a_compiler_is_refused(written, monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(RecipeError, match=r"model\.compile: .* needs a C\+\+ compiler"):
        _fit(written(**UNEQUAL), compile=True)
