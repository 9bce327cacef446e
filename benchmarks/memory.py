"""Writes the memory tables of docs/how-to/scale.md, by `unlearnkit.cost`.

python -m benchmarks.memory
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from unlearnkit.cost import Memory, Shapes, Training, memory_of

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "scale.md"
GIB = 2**30
TOKENS = 4096
"""Input tokens of one micro-batch, of all streams together."""

MODELS = (
    Shapes(2048, 8192, 16, 32, 8, 64, 128256, tied=True, name="1B (Llama-3.2-1B)"),
    Shapes(4096, 14336, 32, 32, 8, 128, 128256, name="8B (Llama-3.1-8B)"),
    Shapes(8192, 28672, 80, 64, 8, 128, 128256, name="70B (Llama-3.1-70B)"),
)
_PLAIN = Training(tokens=TOKENS, every=1, reference="cached")
_LORA = replace(_PLAIN, weights="bfloat16", rank=16, reference="adapter_off")
SETTINGS = {
    "all weights, `bf16-mixed`": replace(_PLAIN, autocast="bfloat16"),
    "all weights, `bf16-true`": replace(_PLAIN, weights="bfloat16"),
    "LoRA, bfloat16 base": replace(_LORA, autocast="bfloat16"),
    "LoRA, 4-bit base": replace(_LORA, autocast="bfloat16", quantization="4bit"),
}


def one_gpu() -> str:
    """What one GPU has to hold, by model, training and reference."""
    rows = []
    for shapes in MODELS:
        for name, run in SETTINGS.items():
            changes = (
                {},
                {"reference": "frozen"},
                {"reference": "frozen", "reference_weights": "bfloat16"},
                {"every": 0},
            )
            figures = [
                None if run.rank and "reference" in change
                else memory_of(shapes, replace(run, **change)).peak
                for change in changes
            ]  # fmt: skip
            rows.append((shapes.name, name, *map(_gib, figures)))
    headings = (
        "Model", "Trained", "`cached` or `adapter_off`", "`frozen`",
        "`frozen`, `reference_dtype: bfloat16`", "first, without checkpointing",
    )  # fmt: skip
    return _table(headings, rows)


def by_term() -> str:
    """Terms of the model of 8B on one GPU, at the peak of each training."""
    found: dict[str, Memory] = {}
    for name, run in SETTINGS.items():
        whole = run.rank is None
        found[name] = memory_of(MODELS[1], replace(run, reference="frozen") if whole else run)
    names = dict.fromkeys(term for each in found.values() for term in each.terms)
    rows = [
        (term, *(_gib(each.terms.get(term)) for each in found.values()))
        for term in names
    ]  # fmt: skip
    moments = ("the peak is", *(each.moment for each in found.values()))
    return _table(("Term", *found), [*rows, moments], texts=1)


def many_gpus() -> str:
    """What each of 8 and 16 GPUs has to hold under fsdp2."""
    rows = []
    for shapes in MODELS:
        for name, setting in list(SETTINGS.items())[:3]:
            run = replace(setting, reference="frozen", reference_weights="bfloat16")
            run = run if setting.rank is None else setting
            figures = [memory_of(shapes, replace(run, shards=n)).peak for n in (8, 16)]
            rows.append((shapes.name, name, *map(_gib, figures)))
    return _table(("Model", "Trained", "8 GPUs", "16 GPUs (2 nodes)"), rows)


TABLES = {"one-gpu": one_gpu, "by-term": by_term, "many-gpus": many_gpus}


def generated(page: str) -> str:
    """The page with its tables made anew."""
    for name, made in TABLES.items():
        part = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        table = made()
        page = part.sub(rf"\g<1>\n{table}\n\g<2>", page)
    return page


def _gib(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value / GIB:.0f}" if value > 10 * GIB else f"{value / GIB:.1f}"


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], texts: int = 2) -> str:
    lines = [headings, (*["---"] * texts, *["---:"] * (len(headings) - texts)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Rewrites the page."""
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
