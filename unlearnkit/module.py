"""The LightningModule: objectives over one forward pass of the policy."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any, Literal, NoReturn

import lightning as L
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.pack import Batch, Layout
from unlearnkit.data.packer import Packer
from unlearnkit.data.parts import Parts, parts_of
from unlearnkit.engine.generation.sampling import draw_for, read_by_all
from unlearnkit.engine.preflight import MODEL, SETTINGS, Values, refuse
from unlearnkit.engine.reference.cached import Cached, fill_from, own_reference
from unlearnkit.engine.reference.kinds import (
    Frozen,
    Reference,
    ReferenceKind,
    chosen_reference,
)  # fmt: skip
from unlearnkit.engine.reference.other import OtherModel
from unlearnkit.engine.step.attention_choice import AttentionChoice
from unlearnkit.engine.step.checkpointing import Checkpointing
from unlearnkit.engine.step.compiled import compile_blocks
from unlearnkit.engine.step.forward import ForwardPass, stream_views
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.kernels import HeadKernel, chosen_kernel
from unlearnkit.engine.step.micro_batches import accumulated
from unlearnkit.engine.step.patterns import prove
from unlearnkit.engine.step.perturbation import Perturbation
from unlearnkit.engine.step.step_metrics import StepMetrics, step_share
from unlearnkit.engine.step.token_weights import expected_weights
from unlearnkit.engine.step.views import StreamView
from unlearnkit.engine.training.apart import step_of
from unlearnkit.engine.training.building import build
from unlearnkit.engine.training.even_parts import evened_by
from unlearnkit.engine.training.fila import begin_by_importance
from unlearnkit.engine.training.fsdp2 import let_go
from unlearnkit.engine.training.fused import use_fused
from unlearnkit.engine.training.resume import ExactResume, keep_what_is_trained, refuse_gaps
from unlearnkit.engine.training.salun import Saliency, SalientWeights
from unlearnkit.engine.training.schedule import Schedule, scheduled
from unlearnkit.engine.training.slices import Slices, slices_of
from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import LoraConfig, importance_of
from unlearnkit.models.load import Policy, load_model
from unlearnkit.models.loaded import ModelSource, as_source
from unlearnkit.objectives.active import ActiveObjectives
from unlearnkit.objectives.base import Objective
from unlearnkit.robust.base import Robust
from unlearnkit.robust.terms import chosen_method, groups, robust_loss


class UnlearningModule(ActiveObjectives, StepMetrics):
    """Minimises ``Σ weight·objective`` over the response tokens of all streams.

    With ``gradient_ascent`` on a forget stream, ``random_mismatch`` on random answers to the same
    prompts and ``retain_kl`` on normal data this is the method of Yao, Xu, Liu (2023).

    Args:
        objectives: Losses by name; the name is the one that is logged and overridden.
        base: The model to start from: ``tiny``, a folder, a hub id, or a `BaseModel`; in a
            program also a model of transformers, of which a copy is trained.
        lora: Train an adapter of this form; by default all weights are trained.
        trainable: Train these weights alone: a list of names of modules or weights, or a regular
            expression that matches such a name from end to end.
        saliency: Train the part of the weights that the forget loss depends on most (SalUn, WAGLE).
        robust: How the gradient of the forget terms is taken, so that forgetting lasts.
        reference: How the model as it was at the start is kept, if an objective needs it:
            ``adapter_off`` (no memory, with ``lora``), ``frozen`` (a copy), ``cached`` (its values
            on disk, no second model), or ``auto`` (the first where it is right, else the second).
            ``{path: MODEL}`` is another model, such as a teacher; in phases ``{phase: NAME}``.
        reference_dtype: Type of a frozen reference's weights, whatever ``trainer.precision`` makes
            of the policy's; by default they are alike.
        optimizer: Makes the optimizer from the trainable parameters.
        schedule: Course of the learning rate after the warm-up.
        warmup: Warm-up in optimiser steps, or in parts of all steps when below 1.
        gradient_checkpointing: Recompute decoder blocks in the backward pass to save memory: all,
            or as ``{every: 2, offload: true}`` says.
        compile: Train decoder blocks that ``torch.compile`` has compiled.
        layout: ``packed`` (equal prompts once, no padding), ``rows``, or ``auto``.
        max_tokens_per_micro_batch: Run a batch in parts of at most so many tokens, one after the
            other, in the memory of one part; loss and gradient stay those of the whole.
        head_kernel: What computes log-probabilities: ``torch``, ``liger`` (extra ``liger``, on a
            GPU), or ``auto`` (the second where it is there).
        attention: Kernel of packed rows: ``varlen``, ``flash_attn`` (GPU, half precision),
            ``flex`` (GPU), ``loop`` (everywhere), or ``auto`` (the first that serves).

    Raises:
        RecipeError: If no objective has a weight above 0, or two arguments do not go together.

    References:
        Yao, Xu, Liu. Large Language Model Unlearning. arXiv 2310.10683, equation 1.
    """

    policy: Policy
    """The model being trained; there from `configure_model` on."""
    head: Head
    layout_reason: str
    step_layout: Layout | Literal["auto"]
    """What the packer makes of a step's rows."""

    def __init__(
        self,
        objectives: dict[str, Objective],
        base: ModelSource = "tiny",
        lora: LoraConfig | None = None,
        trainable: str | list[str] | None = None,
        saliency: Saliency | None = None,
        robust: Robust | list[Robust] | None = None,
        reference: ReferenceKind | OtherModel = "auto",
        reference_dtype: Literal["float32", "bfloat16", "float16"] | None = None,
        # A lambda, since the saved recipe then names the class and its arguments.
        optimizer: OptimizerCallable = lambda p: torch.optim.AdamW(p, lr=1e-5, weight_decay=0.0),
        schedule: Schedule = "linear",
        warmup: float = 0,
        gradient_checkpointing: bool | Checkpointing = False,
        compile: bool = False,
        layout: Literal["auto", "packed", "rows"] = "auto",
        max_tokens_per_micro_batch: int | None = None,
        head_kernel: HeadKernel = "auto",
        attention: AttentionChoice = "auto",
    ) -> None:
        super().__init__()
        # Checkpoints hold what is trained and no more; `on_load_checkpoint` looks for gaps.
        self.strict_loading = False
        if not any(o.weight > 0 for o in objectives.values()):
            raise RecipeError(
                "model.objectives: there is none with a weight above 0, so nothing would be learned"
            )
        self.objectives = nn.ModuleDict(objectives)
        self.base, self.lora = as_source(base), lora
        self.trainable, self.saliency = trainable, saliency
        self.robust = chosen_method(robust, self.active)
        self.reference_kind = chosen_reference(reference, lora)
        self.other = reference if isinstance(reference, OtherModel) else None
        self.make_optimizer, self.warmup = optimizer, warmup
        self.schedule: Schedule = schedule
        self.reference_dtype, self.compiled = reference_dtype, compile
        self.gradient_checkpointing = gradient_checkpointing
        self.layout: Layout | Literal["auto"] = layout
        self.max_tokens_per_micro_batch = max_tokens_per_micro_batch
        self.attention: AttentionChoice = attention
        self.head_kernel: HeadKernel = chosen_kernel(head_kernel)
        self.reference: Reference | None = None
        self.perturbation: Perturbation | None = None
        self.metrics: dict[str, Tensor] = {}
        refuse(SETTINGS, Values.of(self, reference_kind=reference))

    def configure_model(self) -> None:
        """Loads the model, and keeps a reference if one is needed. Safe to call twice."""
        if not hasattr(self, "policy"):
            slices = slices_of(self)
            self.use_model(load_model(self.base) if slices is None else slices.unread(), slices)

    def use_model(self, model: Any, slices: Slices | None = None) -> None:
        """Takes a model that is already in memory in place of loading ``base``.

        Args:
            model: A causal language model of transformers, not yet wrapped by PEFT.
            slices: What it is read from once it is sharded, if its weights are not there yet.
        """
        refuse(MODEL, Values.of(self, config=model.config, sharded=self.device_mesh is not None))
        kind = self.reference_kind if "reference" in self.needs else None
        reference = build(self, model, kind, slices)
        if "reference" in self.needs:
            self.reference = reference or own_reference(kind, self.policy, self.head, self.layout)
        self.expected = expected_weights(self.active.values())
        for objective in self.active.values():
            objective.attach(self.policy)

    def setup(self, stage: str) -> None:
        """Draws answers, fills FILA's adapter and a cached reference, before a checkpoint loads."""
        data: Any = self.trainer.datamodule  # pyright: ignore
        if stage == "fit":
            if self.robust is not None:
                refuse(MODEL, Values.of(self, **step_of(self.trainer)))
            draw_for(self, self.trainer, data)
            read_by_all(self.trainer, data)
        weighed = stage == "fit" and importance_of(self.lora) is not None
        if not (weighed or (self.reference_kind == "cached" and "reference" in self.needs)):
            return
        self.configure_model()
        self.to(self.trainer.strategy.root_device)
        if weighed:
            rows: Any = (data.data, self.layout, data.seed)
            begin_by_importance(self.policy, self.head, self.lora, *rows)  # pyright: ignore
            for objective in self.active.values():  # the start of what is trained is another
                objective.attach(self.policy)
        if isinstance(self.reference, Cached):
            fill_from(self.reference, self.trainer, self.policy, self.base, self.active.values())

    def on_fit_start(self) -> None:
        """Sets train mode; hands over the packer, whose layout is known once there is a model."""
        self.policy.train()
        self.evened = evened_by(self)
        if isinstance(data := self.trainer.datamodule, UnlearningDataModule):  # pyright: ignore
            data.use(self.packer)
        if self.compiled:
            compile_blocks([self.policy, getattr(self.reference, "model", None)])

    @property
    def packer(self) -> Packer:
        """What makes batches of the streams' rows as the model takes them."""
        assert self.layout != "auto", "configure_model() comes first"
        read, referred = frozenset(self.streams_read), frozenset(self.streams_referred)
        needed = ("hidden" in self.needs, self.max_tokens_per_micro_batch)
        stored, apart = getattr(self.reference, "stored", None), groups(self.robust, self.active)
        return Packer(self.step_layout, read, referred, *needed, stored, apart)

    def forward(self, batch: Batch) -> dict[str, StreamView]:
        """One policy pass over the batch, seen stream by stream."""
        added = self.perturbation
        policy = ForwardPass(self.policy, self.head, batch, layers=self.layers, perturbation=added)
        kept = self.reference if self.streams_referred.intersection(batch.streams) else None
        reference = None if kept is None else kept.forward(batch.reference or batch, self.layers)
        return stream_views(batch, policy, reference, self.expected)

    def training_step(self, batch: Parts, batch_idx: int) -> Tensor:
        """The weighted sum of the objectives on this micro-batch."""
        parts = self.evened(parts_of(batch).batches)
        loss = self.loss(parts, step_share(self.trainer, batch_idx))
        self.log_micro_batch({"loss": loss.detach(), **self.metrics}, batch_idx)
        return loss

    def loss(self, batches: list[Batch], share: float = 1.0) -> Tensor:
        """The weighted sum of the objectives on the parts of a batch; sets `metrics`.

        Objectives without rows give ``share`` of their value.
        """
        self.metrics = {}
        if self.robust is not None and torch.is_grad_enabled():
            return robust_loss(self, self.robust, batches, share)
        part = partial(self.loss_of_part, share=share / len(batches))
        return accumulated(part, batches, self.policy)

    def loss_of_part(
        self, batch: Batch, share: float, names: Collection[str] | None = None, again: bool = False
    ) -> Tensor:
        """The weighted sum of some objectives, by default all, on one part of a batch.

        Adds to `metrics`, unless the part is run ``again``.
        """
        views = self(batch)
        asked = {k: o for k, o in self.active.items() if names is None or k in names}
        terms = {k: o(views) * (1.0 if o.streams else share) for k, o in asked.items()}
        found = {key: term.detach() for key, term in terms.items()}
        for name, view in views.items():
            found |= {f"{name}_{key}": value for key, value in view.metrics().items()}
        for key, value in () if again else found.items():
            self.metrics[key] = self.metrics.get(key, 0.0) + value
        loss = torch.stack([self.active[key].weight * term for key, term in terms.items()]).sum()
        prove(loss, [each for view in views.values() for each in view.patterns.values()])
        return loss

    def on_after_backward(self) -> None:
        """Frees what a sharded reference gathered for this micro-batch."""
        if isinstance(self.reference, Frozen):
            let_go(self.reference.model)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Steps, then lets objectives with a state of their own (dual weights) take theirs."""
        super().optimizer_step(*args, **kwargs)
        for objective in () if self.step_refused else self.active.values():
            objective.after_step(partial(self.trainer.strategy.reduce, reduce_op="mean"))

    def configure_optimizers(self) -> Any:
        """The optimizer over trainable parameters, and its schedule over all steps of the fit."""
        optimizer = use_fused(self.make_optimizer(p for p in self.parameters() if p.requires_grad))
        return scheduled(optimizer, self.schedule, self.warmup, self.trainer)

    def configure_callbacks(self) -> list[L.Callback]:
        """What makes a resumed run equal the uninterrupted one, and holds weights still."""
        return [ExactResume(), *([SalientWeights(self.saliency)] if self.saliency else [])]

    @classmethod
    def load_from_checkpoint(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises a RecipeError that says what loads a checkpoint of trained weights."""
        raise RecipeError(
            "a checkpoint holds trained weights alone: build the UnlearningModule and give "
            "trainer.fit(module, datamodule=data, ckpt_path=FILE), or load a run's folder model/"
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps what is trained: never the reference, and of a LoRA run the adapter alone."""
        keep_what_is_trained(checkpoint["state_dict"], self.policy)
        if self.robust is not None and (state := self.robust.state()):
            checkpoint["robust"] = state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint that lacks a trained weight; a robust method takes its state."""
        refuse_gaps(checkpoint, self.policy)
        if self.robust is not None and (state := checkpoint.get("robust")):
            self.robust.resume(state)
