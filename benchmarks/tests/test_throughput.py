"""The GPU benchmark's code, run on a CPU with a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import throughput
from benchmarks.workload import draw

TRAINER = """
class GradDiff:
    def __init__(self, model, args):
        pass

    def compute_loss(self, model, inputs):
        forget, retain = (model(**inputs[name]).loss for name in ("forget", "retain"))
        return retain - forget
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder of open-unlearning's form."""
    folder = tmp_path / "src" / "trainer" / "unlearn"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    (folder / "__init__.py").write_text("")
    (folder / "grad_diff.py").write_text(TRAINER)
    return tmp_path


def test_every_variant_is_measured(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = throughput.measure(["tiny"], [1], "cpu", 1, checkout)
    lengths = {
        name: sum(len(e.prompt_ids) + len(e.response_ids) for e in batch.examples)
        for name, batch in draw(512, 0, 1).items()
    }
    for variant in throughput.VARIANTS:
        names = ("forget", "retain") if variant in throughput.VARIANTS[3:] else lengths
        tokens = sum(lengths[name] for name in names)
        found = row[variant]["tokens_per_second"] * row[variant]["seconds"]
        assert found == pytest.approx(tokens)
    assert "open-unlearning" in capsys.readouterr().out


def test_our_step_beside_the_other_trains_the_same(checkout: Path) -> None:
    streams = draw(512, 0, 1)
    options: Any = {"dtype": torch.float32, "checkout": checkout}
    gradients = []
    for variant in throughput.VARIANTS[3:]:
        run, model = throughput.prepared(variant, "tiny", streams, "cpu", **options)
        run()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    gap = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert float(gap) < 1e-5


def test_shapes_have_the_weights_of_their_names() -> None:
    millions = {}
    for name, shape in throughput.SHAPES.items():
        with torch.device("meta"):
            millions[name] = LlamaForCausalLM(LlamaConfig(**shape)).num_parameters() / 1e6
    assert millions["135M"] == pytest.approx(134.5, abs=0.1)
    assert millions["1B"] == pytest.approx(1235.8, abs=0.1)
    assert millions["8B"] == pytest.approx(8030.3, abs=0.1)


def test_the_table_grows_with_the_rows() -> None:
    few, many = (
        throughput.by_table("135M", draw(49152, 0, batch), torch.bfloat16, False, "cuda")
        for batch in (4, 32)
    )
    assert few < many < 40 * 2**30
