"""Adds up the memory of a run by term and moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unlearnkit.cost import activations
from unlearnkit.cost.shapes import Shapes
from unlearnkit.cost.training import BYTES, Training

Terms = Mapping[str, float]


@dataclass(frozen=True)
class Memory:
    """Bytes on the device of one process.

    Args:
        moments: What is held at one time, in bytes by term, at each moment that may be the peak.
        host: What waits in main memory meanwhile, by term.
    """

    moments: Mapping[str, Terms]
    host: Terms

    @property
    def moment(self) -> str:
        """Name of the moment with the most bytes."""
        return max(self.moments, key=lambda name: sum(self.moments[name].values()))

    @property
    def terms(self) -> Terms:
        """Bytes by term at the peak."""
        return {name: size for name, size in self.moments[self.moment].items() if size}

    @property
    def peak(self) -> float:
        """Bytes at the peak."""
        return sum(self.terms.values())

    def __str__(self) -> str:
        width = max(map(len, self.terms))
        lines = [f"{name:{width}}  {size / 2**30:8.2f} GiB" for name, size in self.terms.items()]
        last = f"{'in all':{width}}  {self.peak / 2**30:8.2f} GiB, {self.moment}"
        return "\n".join([*lines, last])


def memory_of(shapes: Shapes, run: Training) -> Memory:
    """The memory that a run takes, by term.

    Weights, gradients and states are counted. Activations, logits and temporaries are the tensors
    that torch keeps for a block like Llama's; measured peaks of tiny Llamas on a CPU are within a
    tenth. What a device's allocator and libraries take beside tensors is not in it.

    Args:
        shapes: The model.
        run: How it is trained.

    Returns:
        The terms at four moments: at the end of the forward pass, at the beginning and the end of
        the backward pass, and in the optimizer's step.

    Example:
        >>> tiny = Shapes(64, 192, 4, 4, 2, 16, 256)
        >>> found = memory_of(tiny, Training(tokens=16, step="foreach"))
        >>> found.moment, round(found.terms["gradients"] / found.terms["weights"])
        ('in the step', 1)
    """
    whole, resident = _resident(shapes, run)
    gradients = gradients_of(shapes, run)
    resident["buckets of ddp"] = gradients if run.replicas > 1 and run.shards == 1 else 0.0
    # Sums of earlier micro-batches; those of the step before are freed when a step begins.
    kept = gradients if run.parts or run.accumulate > 1 else 0.0
    sums = {"gradients": kept / run.shards}
    head = _head_gradient(shapes, run)
    inputs, block = activations.of_input(shapes, run), activations.of_block(shapes, run)
    recomputed = -(-shapes.layers // run.every) if run.every else 0
    waiting = 0.0 if run.offload and run.device != "cpu" else recomputed * inputs
    acts = waiting + (shapes.layers - recomputed) * block + activations.outside(shapes, run)
    again = block if recomputed else 0.0
    all_casts, a_cast = _casts(shapes, run, recomputed)
    unsharded = _unsharded_gradients(shapes, run)
    forward = {
        "activations": acts + activations.of_responses(shapes, run),
        "logits": activations.logits(shapes, run),
        "kept gradient of the head": head * run.streams,
        "casts of weights": all_casts,
    }
    reference = {
        "activations": acts,
        "temporaries": activations.without_gradient(shapes, run),
        "casts of weights": all_casts,
    }
    backward = {
        "activations": acts + again,
        "temporaries": activations.at_work(shapes, run),
        "kept gradient of the head": 0.0 if run.parts else head,
        "casts of weights": a_cast,
        "gathers of fsdp2": unsharded,
    }
    summing = {
        "activations": acts + inputs,
        "kept gradient of the head": head * (run.streams + (1 if run.streams > 1 else 0)),
        "casts of weights": a_cast,
    }
    end = {
        "gradients": gradients / run.shards,
        "activations": block,
        "temporaries": activations.at_work(shapes, run),
        "kept gradient of the head": head if shapes.tied else 0.0,
        "gathers of fsdp2": unsharded,
    }
    moments = {
        "at the end of the forward pass": resident | sums | forward,
        "in the reference's pass": resident | sums | (reference if _two_passes(run) else {}),
        "where the head's gradients are added": resident | sums | summing,
        "at the beginning of the backward pass": resident | sums | backward,
        "at the end of the backward pass": resident | end,
        "in the step": resident | {
            "gradients": gradients / run.shards, "temporaries": _of_step(shapes, run, gradients),
        },
    }  # fmt: skip
    for name, terms in moments.items():
        if name != "in the step":
            gathers = terms.get("gathers of fsdp2", 0.0)
            moments[name] = terms | {"gathers of fsdp2": gathers + whole}
    host = {"inputs of recomputed blocks": recomputed * inputs - waiting}
    return Memory(moments, host)


def _resident(shapes: Shapes, run: Training) -> tuple[float, dict[str, float]]:
    """What a sharded process holds whole for a while, and what is there all the time."""
    states = run.state_bytes(_trained(shapes, run))
    adapter = _adapter(shapes, run) * BYTES[run.adapter_weights]
    second = run.reference_weights or run.weights
    frozen = shapes.weights * BYTES[second] if run.reference == "frozen" else 0.0
    # A cached reference keeps a copy of a head that is trained.
    copied = run.reference == "cached" and run.rank is None and run.kl
    terms = {
        "weights": held(shapes, run),
        "adapter": adapter,
        "states of the optimizer": states,
        "reference": frozen,
    }
    # Each process holds it whole, as it is before it is gathered.
    head = float(shapes.embedding * BYTES[run.weights]) if copied else 0.0
    if run.shards == 1:
        return 0.0, terms | {"reference": frozen + head}
    outside = 2 * shapes.block + shapes.outside
    of_reference = min(BYTES[second], run.products) if frozen else 0.0
    copies = run.residual + of_reference
    spread = {name: size / run.shards for name, size in terms.items()}
    return outside * copies, spread | {"reference": frozen / run.shards + head}


def held(shapes: Shapes, run: Training) -> float:
    """Bytes of the base's weights on all processes together."""
    if run.quantization is None:
        return shapes.weights * BYTES[run.weights]
    rest = (shapes.weights - shapes.linear) * BYTES[run.weights]
    return shapes.linear * BYTES[run.quantization] + rest


def gradients_of(shapes: Shapes, run: Training) -> float:
    """Bytes of the gradients of all trained weights, on all processes together."""
    return _trained(shapes, run) * _trained_number(run)


def _adapter(shapes: Shapes, run: Training) -> int:
    if run.rank is None:
        return 0
    return shapes.adapter(run.rank) if run.adapter is None else run.adapter


def _trained(shapes: Shapes, run: Training) -> int:
    if run.rank is not None:
        return _adapter(shapes, run)
    return shapes.weights if run.trained is None else run.trained


def _trained_number(run: Training) -> float:
    return BYTES[run.weights if run.rank is None else run.adapter_weights]


def _head_gradient(shapes: Shapes, run: Training) -> float:
    """Bytes of one gradient of the head's weight, where it is trained and whole."""
    size = shapes.embedding * run.residual
    kept = run.rank is None and run.trained is None and run.shards == 1
    return float(size) if kept else 0.0


def _casts(shapes: Shapes, run: Training, recomputed: int) -> tuple[float, float]:
    """Bytes of weights in the type of a mixed precision, in the forward and the backward pass."""
    if run.autocast is None or run.quantization or run.residual == run.products:
        return 0.0, 0.0
    whole = (shapes.linear + shapes.embedding) * run.products
    block = shapes.linear / shapes.layers * run.products
    left = whole - recomputed * block
    # Autocast keeps its casts of trained weights to the end of the forward pass.
    return (whole if run.rank is None else left), left + (block if recomputed else 0.0)


def _two_passes(run: Training) -> bool:
    return run.reference in ("frozen", "adapter_off")


def _unsharded_gradients(shapes: Shapes, run: Training) -> float:
    """Gradients before they are spread: a block's, and those outside of the blocks.

    They are added up in float32, one group after the other.
    """
    if run.shards == 1 or run.rank is not None:
        return 0.0
    summed = max(shapes.block, shapes.outside) * 4
    return (shapes.block + shapes.outside) * run.residual + summed


def _of_step(shapes: Shapes, run: Training, gradients: float) -> float:
    """Temporaries of the optimizer."""
    if run.optimizer.lower() == "sgd":
        return 0.0
    if run.step == "foreach" or (run.shards > 1 and run.step == "fused"):
        return gradients / run.shards  # the fused step is not taken on sharded weights
    largest = max(shapes.embedding, shapes.hidden * shapes.inner) * _trained_number(run)
    if run.rank is not None:
        largest = max(shapes.hidden, shapes.inner) * run.rank * _trained_number(run)
    return 2 * largest if run.step == "each" else 0.0
