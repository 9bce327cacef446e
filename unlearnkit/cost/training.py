"""Settings of a run that its memory follows from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unlearnkit.cost.head_sizes import Sizes, sizes

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "4bit": 0.516, "8bit": 1.0}
"""Per weight; 4 bits with their quantised constants (0.127 bits, arXiv 2305.14314 section 3)."""
_BLOCKS_OF_8, _BLOCKS_OF_4 = 1 + 4 / 256, 0.5 + 4 / 128
"""Bytes per number of states that are kept in blocks with a float32 scale each."""
_STATES = {"lion": 1, "rmsprop": 1, "ademamix": 3, "adagrad": 1, "adafactor": 0, "sgd": 0}
"""Numbers per weight that optimizers other than Adam and its like keep."""

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Args:
        tokens: Input tokens of one part that runs at one time, of all streams together: of a
            micro-batch, or of ``max_tokens_per_micro_batch``. In rows padding counts.
        responses: Response tokens among them; by default half.
        streams: Streams with response tokens.
        kl: Whether a loss compares whole distributions with the reference's.
        weights: Type of the weights as they are held.
        autocast: Type of the products of a mixed precision; None without one.
        quantization: ``4bit`` or ``8bit`` for the base under an adapter.
        rank: Rank of the adapter on all linear layers; None if all weights are trained.
        adapter: Weights of the adapter; by default those of all linear layers with ``rank``.
        adapter_weights: Type of the adapter.
        trained: Weights that are trained without an adapter; by default all.
        states: Numbers that the optimizer keeps of each trained weight; by default by its name.
        optimizer: As a recipe names it, such as ``adamw``, ``adamw_8bit`` or ``sgd``.
        step: ``fused`` (no temporaries), ``foreach`` (one of all trained weights), or ``each``
            (one weight after the other, the default on a CPU).
        reference: ``frozen``, ``adapter_off``, ``cached``, or None.
        reference_weights: Type of a frozen reference; by default the policy's.
        layout: ``packed`` or ``rows``.
        attention: ``loop``, or a kernel that takes a packed row in one call.
        keys: Keys of all parts over tokens, above 1 where responses share prompts.
        padded: Whether rows have padding, so that attention needs a mask.
        width: Tokens of a padded row, whose square the mask has.
        every: Recompute the first block of every so many; 0 without checkpointing.
        offload: Whether inputs of recomputed blocks wait in main memory.
        parts: Whether a batch runs in several parts (``max_tokens_per_micro_batch``).
        accumulate: Micro-batches per step.
        shards: Processes that weights, gradients and states are spread over by fsdp2.
        replicas: Copies of the model, on a process each (ddp) or on ``shards`` of them (HSDP).
        device: ``cuda`` or ``cpu``.
        memory: Of the device, in bytes: the head's chunks follow from it.

    Example:
        >>> Training(optimizer="adamw_8bit").state_bytes(1000)
        2031.25
    """

    tokens: int = 4096
    responses: int | None = None
    streams: int = 2
    kl: bool = True
    weights: Precision = "float32"
    autocast: Precision | None = None
    quantization: Literal["4bit", "8bit"] | None = None
    rank: int | None = None
    adapter: int | None = None
    adapter_weights: Precision = "float32"
    trained: int | None = None
    states: float | None = None
    optimizer: str = "adamw"
    step: Literal["fused", "foreach", "each"] = "fused"
    reference: Literal["frozen", "adapter_off", "cached"] | None = None
    reference_weights: Precision | None = None
    layout: Literal["packed", "rows"] = "packed"
    attention: str = "varlen"
    keys: float = 1.0
    padded: bool = True
    width: int = 0
    every: int = 0
    offload: bool = False
    parts: bool = False
    accumulate: int = 1
    shards: int = 1
    replicas: int = 1
    device: str = "cuda"
    memory: int = 80 * 2**30

    @property
    def residual(self) -> int:
        """Bytes of a number between the blocks, and of a weight that a block is given."""
        # Under fsdp2 mixed precision gathers weights in its own type.
        gathered = self.autocast if self.shards > 1 else None
        return int(BYTES[gathered or self.weights])

    @property
    def products(self) -> int:
        """Bytes of a number that a matrix product gives."""
        return int(BYTES[self.autocast or self.weights])

    @property
    def predicted(self) -> int:
        """Response tokens of a part."""
        return self.tokens // 2 if self.responses is None else self.responses

    @property
    def head(self) -> Sizes:
        """What the output head may take."""
        return sizes(self.device, self.memory)

    @property
    def paged(self) -> bool:
        """Whether states of the optimizer go to main memory where the device is full."""
        return self.optimizer.lower().startswith("paged")

    def state_bytes(self, weights: float) -> float:
        """Bytes of the optimizer's states for so many trained weights."""
        numbers = self.state_numbers if self.states is None else self.states
        return weights * numbers * self._per_state

    @property
    def state_numbers(self) -> int:
        """Numbers per trained weight that the optimizer keeps; 2 for those it does not know."""
        name = self.optimizer.lower().replace("paged_", "").replace("torchao_", "")
        name = name.replace("_bnb", "").removesuffix("_8bit").removesuffix("_4bit")
        return _STATES.get(name.removesuffix("_fp8").removesuffix("_32bit"), 2)

    @property
    def _per_state(self) -> float:
        name = self.optimizer.lower()
        if name.endswith(("8bit", "fp8")):
            return _BLOCKS_OF_8
        if name.endswith("4bit"):
            return _BLOCKS_OF_4
        # bitsandbytes keeps its states in float32 whatever the weights are.
        single = name.startswith("paged") or name in ("lion", "ademamix") or "32bit" in name
        trained = self.weights if self.rank is None else self.adapter_weights
        return 4 if single else BYTES[trained]
