"""Reference values from disk train the same run as a live reference (case 49)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from rounding import margin, near
from rows import STORED
from safetensors import safe_open
from short_fits import objective, qa, stub_data, stub_module, train

from unlearnkit.data.packer import split
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.streams.text import TextStream
from unlearnkit.errors import RecipeError

LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])


@pytest.fixture(scope="module")
def folder(written) -> Path:
    return written(**STORED)


def _fit(folder: Path, root: Path, reference: str, names: dict[str, str], lora=None, **data):
    torch.manual_seed(0)
    module = stub_module(
        {key: objective(name) for key, name in names.items()},
        {"random_init": 1},
        lr=0.05,
        reference=reference,
        lora=lora,
        max_tokens_per_micro_batch=data.pop("max_tokens", None),
    )
    precision = data.pop("precision", "32-true")
    streams = {
        "forget": qa(folder / data.pop("file", "forget.jsonl")),
        "retain": data.pop("retain", None) or qa(folder / "retain.jsonl"),
    }
    rows = stub_data(streams, batch_size=data.pop("batch_size", 2), seed=2)
    seen = train(module, rows, max_steps=10, default_root_dir=root, precision=precision)
    return module, seen.figures


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(
    "names",
    [
        {"forget": "npo"},
        {"forget": "gradient_ascent", "retain": "retain_kl"},
        {"forget": "npo", "retain": "retain_kl"},
    ],
)
def test_stored_values_give_the_live_losses(folder, tmp_path, names, lora) -> None:
    live_kind = "adapter_off" if lora else "frozen"
    _, live = _fit(folder, tmp_path, live_kind, names, lora)
    module, stored = _fit(folder, tmp_path, "cached", names, lora)
    for one, other in zip(stored, live, strict=True):
        assert one == near(other, size=10.0)  # steps, in which errors add up
    assert abs(live[-1]["forget"] - live[0]["forget"]) > 1e-3
    frozen = [p for p in module.reference.parameters()]
    body = sum(p.numel() for p in module.policy.parameters())
    assert sum(p.numel() for p in frozen) < body / 5


def test_a_batch_may_hold_a_row_twice(folder, tmp_path) -> None:
    names = {"forget": "npo", "retain": "retain_kl"}
    few = {"batch_size": 4, "retain": qa(folder / "retain.jsonl", limit=2)}
    _, live = _fit(folder, tmp_path, "frozen", names, **few)
    _, stored = _fit(folder, tmp_path, "cached", names, **few)
    for one, other in zip(stored, live, strict=True):
        assert one == near(other, size=10.0)


def test_a_part_of_a_step_may_hold_some_responses_of_a_row(folder, tmp_path) -> None:
    """A text with several cuts has several prompts, which need not be in one part."""
    (tmp_path / "text.txt").write_text("abcdeabcdeab")
    text = TextStream(str(tmp_path / "text.txt"), cuts=[1, 3, 6])
    names = {"forget": "npo", "retain": "retain_kl"}
    parts = {"retain": text, "max_tokens": 12}
    module, live = _fit(folder, tmp_path, "frozen", names, retain=text)
    _, stored = _fit(folder, tmp_path, "cached", names, **parts)
    for one, other in zip(stored, live, strict=True):
        assert one == near(other, size=10.0)
    step = module.trainer.datamodule.train_dataloader().dataset[0]  # pyright: ignore
    assert sum(bool(part["retain"].examples) for part in split(step, 12)) > 1


def test_values_are_of_the_type_that_the_trainer_makes_of_the_weights(folder, tmp_path) -> None:
    names = {"forget": "npo", "retain": "retain_kl"}
    _, live = _fit(folder, tmp_path, "frozen", names, precision="bf16-true")
    _, stored = _fit(folder, tmp_path, "cached", names, precision="bf16-true")
    with safe_open(tmp_path / "reference" / "retain.safetensors", framework="pt") as opened:
        assert opened.get_tensor("states").dtype == torch.bfloat16
    for one, other in zip(stored, live, strict=True):
        assert one == pytest.approx(other, abs=margin(10.0, 1, torch.bfloat16))


def test_a_changed_row_is_worked_out_anew(folder, tmp_path) -> None:
    names = {"forget": "npo"}
    _fit(folder, tmp_path, "cached", names)
    file = tmp_path / "reference" / "forget.safetensors"
    with safe_open(file, framework="pt") as opened:
        before = opened.metadata()["fingerprint"]
    _, live = _fit(folder, tmp_path / "other", "frozen", names, file="forget_changed.jsonl")
    _, stored = _fit(folder, tmp_path, "cached", names, file="forget_changed.jsonl")
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata()["fingerprint"] != before
    for one, other in zip(stored, live, strict=True):
        assert one == near(other, size=10.0)  # steps, in which errors add up


def test_values_that_fit_are_not_worked_out_again(folder, tmp_path, monkeypatch) -> None:
    names = {"forget": "npo"}
    _, first = _fit(folder, tmp_path, "cached", names)

    def never(*arguments):
        pytest.fail("the values were worked out again")

    monkeypatch.setattr("unlearnkit.engine.reference.cached.Cached._compute", never)
    _, second = _fit(folder, tmp_path, "cached", names)
    assert first == second


def test_rows_that_are_drawn_anew_cannot_be_cached(folder, tmp_path) -> None:
    module = stub_module(
        {"mismatch": objective("npo", stream="mismatch")},
        {"random_init": 1},
        reference="cached",
    )
    streams = {
        "forget": qa(folder / "forget.jsonl"),
        "retain": qa(folder / "retain.jsonl"),
        "mismatch": Stream.resolve("mismatch")(per_prompt=2),
    }
    with pytest.raises(RecipeError, match="drawn anew"):
        train(module, stub_data(streams), max_steps=1, default_root_dir=tmp_path)
