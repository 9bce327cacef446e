"""Reads folders of stored objective values, and compares computed values with them.

A folder holds ``objectives.json`` (values), ``batches.json`` (token ids and control vectors),
``models`` and a ``tokenizer``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from unlearnkit.data.pack import Layout
from unlearnkit.engine.reference.kinds import Frozen
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.head import Head

IGNORED = -100
LOSS_REL = {torch.float32: 1e-5, torch.float64: 2e-6}
NORM_REL = 2e-5
# Where the true value is zero or terms cancel, rounding is all there is to compare.
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-12}


class Values(NamedTuple):
    """A loss and L2 norms of its gradient."""

    loss: float
    norm_total: float
    norm_head: float
    norm_first_query: float


@dataclass(frozen=True)
class Rows:
    """One batch: ``B`` padded rows of ``S`` positions."""

    input_ids: Tensor  # [B, S]
    attention_mask: Tensor  # [B, S]
    labels: Tensor  # [B, S], IGNORED on prompt and padding
    pad_id: int
    group: Sequence[int] = ()  # [B] which prompt a row belongs to, where prompts repeat

    def __len__(self) -> int:
        return len(self.input_ids)

    @cached_property
    def left_padding(self) -> Tensor:
        """``[B]`` padding tokens before each row."""
        return self.attention_mask.argmax(1)


@dataclass(frozen=True)
class Record:
    """What one published function gave for one model and batch."""

    folder: Path
    name: str
    content: dict[str, Any] = field(repr=False)

    @property
    def objective(self) -> str:
        return self.content["objective"]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return self.content["hyperparameters"]

    @property
    def dual_after_step(self) -> float | None:
        """Weight of a constraint after one step, where the function has one."""
        return self.content.get("extra_f64", {}).get("alpha_after_step")

    @property
    def roles(self) -> dict[str, str]:
        """Name of the batch by role, such as ``forget``."""
        return self.content["batch"]

    def expected(self, dtype: torch.dtype) -> Values:
        """The stored values; where the reference has NaN, a loss and gradient of zero."""
        if self.content.get("nan"):
            return Values(0.0, 0.0, 0.0, 0.0)
        end = "_f32" if dtype == torch.float32 else ""
        norms = [self.content[f"grad_norm_{of}{end}"] for of in ("total", "lm_head", "q_proj_0")]
        loss = self.content["loss_f32" if dtype == torch.float32 else "loss_f64"]
        return Values(loss, *norms)

    def policy(self, dtype: torch.dtype) -> Model:
        return load(self.folder, self.content["model"], dtype)

    def reference(self, dtype: torch.dtype) -> Frozen:
        return load_frozen(self.folder, self.content["ref_model"], dtype)

    def rows(self, role: str) -> Rows:
        batch = self.batch(role)
        return Rows(
            torch.tensor(batch["input_ids"]),
            torch.tensor(batch["attention_mask"]),
            torch.tensor(batch["labels"]),
            batch["pad_token_id"],
            batch.get("group", ()),
        )

    def batch(self, role: str) -> dict[str, Any]:
        return read_json(self.folder / "batches.json")["batches"][self.roles[role]]

    def layouts(self) -> tuple[Layout, ...]:
        """The layouts in which our engine can have the record's positions.

        Padding before a row counts as positions there. Rotary models see distances only; with
        learned positions each row needs its own count, which equal prompts do not share.
        """
        config = self.policy(torch.float32).module.config
        padded = any(
            self.rows(role).left_padding.any()
            for role in self.roles
            if "input_ids" in self.batch(role)
        )
        rotary = getattr(config, "rope_parameters", None) is not None
        return ("rows",) if padded and not rotary else ("packed", "rows")

    def control_vector(self) -> Tensor:
        """``[H]`` direction of unit length, float64."""
        vectors = read_json(self.folder / "batches.json")["control_vectors"]
        return torch.tensor(vectors[self.hyperparameters["control_vector"]], dtype=torch.float64)


@dataclass(frozen=True)
class Model:
    """A model that can take both layouts, and its head."""

    module: Any
    head: Head

    def gradient_norms(self, loss: Tensor) -> tuple[float, float, float]:
        """Of all parameters, of the output embedding, and of the first layer's queries."""
        parameters = list(self.module.parameters())
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        gradients = {
            id(parameter): torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(parameters, found, strict=True)
        }
        head = gradients[id(self.module.get_output_embeddings().weight)]
        total = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
        return total.item(), head.norm().item(), self._first_query(gradients).norm().item()

    def _first_query(self, gradients: dict[int, Tensor]) -> Tensor:
        for name, parameter in self.module.named_parameters():
            if name.endswith("q_proj.weight"):
                return gradients[id(parameter)]
            if name.endswith("attn.c_attn.weight"):
                # Queries, keys and values side by side.
                return gradients[id(parameter)][:, : self.module.config.hidden_size]
        raise LookupError(f"{type(self.module).__name__} has no query projection that is known")


def read_records(folder: Path) -> list[Record]:
    """All records of a folder.

    Raises:
        ValueError: If it has none, which would otherwise be a test that nothing can fail.
    """
    records = read_json(folder / "objectives.json")
    if not records:
        raise ValueError(f"{folder / 'objectives.json'} holds no record")
    return [Record(folder, name, content) for name, content in records.items()]


@cache
def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def load(folder: Path, name: str, dtype: torch.dtype) -> Model:
    module = _load(folder, name, dtype)
    return Model(module, Head(module))


@cache
def load_frozen(folder: Path, name: str, dtype: torch.dtype) -> Frozen:
    return Frozen(_load(folder, name, dtype))


@cache
def load_tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder / "tokenizer")


def _load(folder: Path, name: str, dtype: torch.dtype) -> Any:
    module = AutoModelForCausalLM.from_pretrained(folder / "models" / name, dtype=dtype).eval()
    use_tree_attention(module)
    if dtype == torch.float64:
        _keep_float64(module)
    return module


def _keep_float64(module: nn.Module) -> None:
    """Replaces norms that compute in float32 in a float64 model, as was done when measuring."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LlamaRMSNorm):
                norm = nn.RMSNorm(child.weight.shape, eps=child.variance_epsilon)
                norm.weight = child.weight
                setattr(parent, name, norm)


def differences(found: Values, expected: Values, dtype: torch.dtype) -> list[str]:
    """Where computed values are not the stored ones; NaN never is."""
    lines: list[str] = []
    for name, one, other in zip(Values._fields, found, expected, strict=True):
        relative = LOSS_REL[dtype] if name == "loss" else NORM_REL
        # A part of the gradient that is truly zero has the rounding of the whole.
        scale = 1.0 if name == "loss" else max(1.0, expected.norm_total)
        if not abs(one - other) <= max(relative * abs(other), ROUNDING[dtype] * scale):
            lines.append(f"{name}: {one!r}, expected {other!r}")
    return lines
