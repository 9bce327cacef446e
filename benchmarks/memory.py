"""Computes GPU memory by formula, for the tables of docs/how-to/scale.md.

    python -m benchmarks.memory

writes the tables anew. Nothing here is measured: activations are an estimate, and the rest is
counted from the shapes of the models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "scale.md"
GIB = 2**30
TOKENS = 4096
"""Input tokens of one micro-batch, of all streams together."""
CHUNK = 32 * 2**20
"""Float32 logits that exist at one time (`unlearnkit.engine.step.head.CPU_CHUNK_BYTES`)."""
BYTES = {"float32": 4, "bfloat16": 2, "4bit": 0.53, "8bit": 1.0}
"""Per weight; 4 bits with their quantised constants (0.127 bits, arXiv 2305.14314 section 3)."""


@dataclass(frozen=True)
class Shape:
    """A Llama-like model."""

    name: str
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @property
    def block(self) -> int:
        """Weights of one decoder block."""
        width, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = self.hidden * (width + 2 * kv) + width * self.hidden
        return attention + 3 * self.hidden * self.inner + 2 * self.hidden

    @property
    def linear(self) -> int:
        """Weights of the linear layers of all blocks, which quantisation covers."""
        return self.layers * (self.block - 2 * self.hidden)

    @property
    def weights(self) -> int:
        """All weights."""
        outside = self.vocabulary * self.hidden * (1 if self.tied else 2) + self.hidden
        return self.layers * self.block + outside

    def adapter(self, rank: int) -> int:
        """Weights of LoRA on all linear layers of the blocks."""
        width, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        ends = 2 * (self.hidden + width) + 2 * (self.hidden + kv) + 3 * (self.hidden + self.inner)
        return self.layers * rank * ends


@dataclass(frozen=True)
class Setting:
    """How a model is trained.

    Args:
        base: Type of the weights as they are held.
        rank: Rank of the adapter, or None if all weights are trained.
        frozen: A second copy of the model as the reference, in this type, or None for
            ``adapter_off`` and ``cached``.
        checkpointing: Whether activations are recomputed.
        shards: Processes that weights, gradients and optimizer states are spread over.
    """

    base: str = "float32"
    rank: int | None = None
    frozen: str | None = None
    checkpointing: bool = True
    shards: int = 1


MODELS = (
    Shape("1B (Llama-3.2-1B)", 2048, 8192, 16, 32, 8, 64, 128256, True),
    Shape("8B (Llama-3.1-8B)", 4096, 14336, 32, 32, 8, 128, 128256, False),
    Shape("70B (Llama-3.1-70B)", 8192, 28672, 80, 64, 8, 128, 128256, False),
)
SETTINGS = {
    "all weights, `bf16-mixed`": Setting("float32"),
    "all weights, `bf16-true`": Setting("bfloat16"),
    "LoRA, bfloat16 base": Setting("bfloat16", rank=16),
    "LoRA, 4-bit base": Setting("4bit", rank=16),
}


def states(shape: Shape, setting: Setting) -> float:
    """Bytes of weights, gradients, AdamW's two moments, and the reference, on one process."""
    if setting.base in ("4bit", "8bit"):
        rest = (shape.weights - shape.linear) * BYTES["bfloat16"]
        held = shape.linear * BYTES[setting.base] + rest
    else:
        held = shape.weights * BYTES[setting.base]
    if setting.rank is None:
        held *= 4  # itself, its gradient, two moments of its own type
    else:
        held += shape.adapter(setting.rank) * 4 * BYTES["float32"]
    if setting.frozen:
        held += shape.weights * BYTES[setting.frozen]
    return held / setting.shards


def activations(shape: Shape, setting: Setting, tokens: int = TOKENS) -> float:
    """Bytes kept for the backward pass, in bfloat16, of one micro-batch.

    With checkpointing the input of each block and all of one block; without it all of every
    block. Of a block that is what enters a matrix product, the norms, the attention and the gate:
    about ``8 hidden + 2 (heads + kv_heads) head_dim + 4 inner`` numbers per token.
    """
    block = 8 * shape.hidden + 2 * (shape.heads + shape.kv_heads) * shape.head_dim + 4 * shape.inner
    blocks = shape.layers * shape.hidden + block if setting.checkpointing else shape.layers * block
    return 2.0 * tokens * blocks + 3 * CHUNK


def gathered(shape: Shape, setting: Setting) -> float:
    """Bytes that a sharded process holds whole for a while: two blocks, embedding and head."""
    if setting.shards == 1:
        return 0.0
    outside = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    copies = 2 if setting.frozen else 1
    return (2 * shape.block + outside) * BYTES["bfloat16"] * copies


def total(shape: Shape, setting: Setting) -> float:
    """Bytes on one process."""
    return states(shape, setting) + activations(shape, setting) + gathered(shape, setting)


def one_gpu() -> str:
    """What one GPU has to hold, by model, training and reference."""
    rows = []
    for shape in MODELS:
        for name, setting in SETTINGS.items():
            trained = setting.rank is None
            same = replace(setting, frozen=setting.base if trained else None)
            half = replace(setting, frozen="bfloat16" if trained else None)
            plain = replace(setting, checkpointing=False)
            figures = [
                total(shape, setting),
                total(shape, same) if trained else None,
                total(shape, half) if trained else None,
                total(shape, plain),
            ]
            rows.append((shape.name, name, *map(_gib, figures)))
    headings = (
        "Model", "Trained", "no reference, `cached`, `adapter_off`", "`frozen`",
        "`frozen`, `reference_dtype: bfloat16`", "first, without checkpointing",
    )  # fmt: skip
    return _table(headings, rows)


def many_gpus() -> str:
    """What each of 8 and 16 GPUs has to hold under fsdp2."""
    rows = []
    for shape in MODELS:
        for name in list(SETTINGS)[:3]:
            setting = SETTINGS[name]
            if setting.rank is None:
                setting = replace(setting, frozen="bfloat16")
            figures = [total(shape, replace(setting, shards=n)) for n in (8, 16)]
            rows.append((shape.name, name, *map(_gib, figures)))
    return _table(("Model", "Trained", "8 GPUs", "16 GPUs (2 nodes)"), rows)


def generated(page: str) -> str:
    """The page with its tables made anew."""
    for name, made in (("one-gpu", one_gpu), ("many-gpus", many_gpus)):
        part = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        table = made()
        page = part.sub(rf"\g<1>\n{table}\n\g<2>", page)
    return page


def _gib(value: float | None) -> str:
    return (
        "" if value is None else f"{value / GIB:.0f}" if value > 10 * GIB else f"{value / GIB:.1f}"
    )


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, ("---", "---", *["---:"] * (len(headings) - 2)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Rewrites the page."""
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
