"""Operations, bytes moved and bytes sent of a step, as times."""

from __future__ import annotations

from dataclasses import dataclass

from unlearnkit.cost.activations import of_block, of_input
from unlearnkit.cost.gpus import Machine
from unlearnkit.cost.memory import gradients_of, held
from unlearnkit.cost.shapes import Shapes
from unlearnkit.cost.training import BYTES, Training

OF_PEAK = 0.4
"""Share of a GPU's peak that products of a training reach; usual for decoder models of 1B to 70B
(arXiv 2204.02311, table 3, has 0.21 to 0.46)."""
OF_BANDWIDTH = 0.7
"""Share of the bandwidth of memory and links, likewise."""
_PASS_OF_BACKWARD = 2.5
"""Products of attention's backward pass over those of its forward pass, with recomputation."""


@dataclass(frozen=True)
class Work:
    """Work of one optimiser step on one GPU.

    Args:
        operations: Multiplications and additions, of products.
        moved: Bytes between the GPU and its memory.
        sent: Bytes to other GPUs.
    """

    operations: float
    moved: float
    sent: float

    def seconds(self, run: Training, machine: Machine) -> dict[str, float]:
        """Seconds for each kind of work, were it alone."""
        gpu, world = machine.gpu, run.shards * run.replicas
        peak = gpu.float32 if run.products == 4 else gpu.bfloat16
        return {
            "products": self.operations / (OF_PEAK * peak * 1e12),
            "memory": self.moved / (OF_BANDWIDTH * gpu.bandwidth * 1e9),
            "links": self.sent / (OF_BANDWIDTH * machine.link(world)),
        }


def work_of(shapes: Shapes, run: Training, parts: float, context: float) -> Work:
    """The work of an optimiser step on one GPU.

    Args:
        shapes: The model.
        run: How it is trained; its tokens are those of a part.
        parts: Parts of that size in a step, over its micro-batches.
        context: Tokens that a query attends to, on average.

    Example:
        >>> tiny = Shapes(64, 192, 4, 4, 2, 16, 256)
        >>> work = work_of(tiny, Training(tokens=16, reference="cached"), parts=2, context=8)
        >>> f"{work.operations:.3g}"
        '4.05e+07'
    """
    operations = parts * _operations(shapes, run, context)
    gradients = gradients_of(shapes, run)
    return Work(
        operations, parts * _moved(shapes, run) + _of_step(run, gradients),
        _sent(shapes, run, parts, gradients),
    )  # fmt: skip


def _passes(shapes: Shapes, run: Training) -> tuple[float, float, float]:
    """Forward passes of the blocks, backward passes in units of one, and recomputed passes."""
    reference = run.reference in ("frozen", "adapter_off")
    again = -(-shapes.layers // run.every) / shapes.layers if run.every else 0.0
    return 1.0 + reference, 2.0 if run.rank is None else 1.0, again


def _operations(shapes: Shapes, run: Training, context: float) -> float:
    forward, backward, again = _passes(shapes, run)
    linear = 2 * run.tokens * shapes.active * (forward + again + backward)
    scores = 4 * run.tokens * context * shapes.query * shapes.layers
    attention = scores * (forward + again + _PASS_OF_BACKWARD)
    # Logits, the derivative of the hidden states, the weight's gradient where it is trained.
    uses = 2 + (run.rank is None)
    head = 2 * run.predicted * shapes.embedding * uses
    if run.kl and run.reference:
        head += 2 * run.predicted / run.streams * shapes.embedding
    adapter = 0.0
    if run.rank is not None:
        adapter = 6 * run.tokens * gradients_of(shapes, run) / BYTES[run.adapter_weights]
    return linear + attention + head + adapter


def _moved(shapes: Shapes, run: Training) -> float:
    """Weights once a pass, and what a block keeps written and read."""
    forward, _, again = _passes(shapes, run)
    kept = of_block(shapes, run) * (1 + again) + of_input(shapes, run) * bool(run.every)
    return held(shapes, run) * (forward + again + 1) + 2 * shapes.layers * kept


def _of_step(run: Training, gradients: float) -> float:
    """The optimizer reads and writes weights and states, and reads gradients."""
    number = BYTES[run.weights if run.rank is None else run.adapter_weights]
    states = run.state_bytes(gradients / number)
    return (3 * gradients + 2 * states) / run.shards


def _sent(shapes: Shapes, run: Training, parts: float, gradients: float) -> float:
    """Gradients summed over copies; weights gathered in each pass by fsdp2."""
    summed = 2 * gradients / run.shards * (run.replicas - 1) / run.replicas
    if run.shards == 1:  # once a step
        return summed
    reference = run.reference == "frozen"
    kind = run.weights if run.rank is None else run.adapter_weights
    # Weights go in the type of the products, gradients of bfloat16 in float32.
    weights = held(shapes, run) * run.residual / BYTES[run.weights]
    spread = gradients * (2 if kind == "bfloat16" else 1)
    gathered = weights * (2 + reference) + spread
    return parts * (summed + gathered * (run.shards - 1) / run.shards)
