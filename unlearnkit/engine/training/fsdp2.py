"""FSDP2: shards weights, gradients and optimizer states over processes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from peft import PeftModel
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
)
from torch.distributed.constants import default_pg_timeout
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.optim import Optimizer

from unlearnkit.engine.ranks import found_by_first
from unlearnkit.engine.shards.folder import is_folder_of_shards
from unlearnkit.engine.shards.loading import load_shards
from unlearnkit.engine.shards.parts import without_second_names
from unlearnkit.engine.shards.saving import Saving
from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.engine.training.archive import refuse_damaged
from unlearnkit.errors import RecipeError


class FSDP2Strategy(ModelParallelStrategy):
    """Lightning's `ModelParallelStrategy` with all processes in one data-parallel group.

    Registered as ``fsdp2``, so that ``trainer.strategy: fsdp2`` names it.

    Args:
        shard: Processes that share one copy of the weights; all, divided by ``replicate``, if
            none is given.
        replicate: Copies of the weights (HSDP). Processes that follow each other in rank share a
            copy, so ``shard`` is best the GPUs of a node and ``replicate`` the nodes.
        checkpoints: ``sharded`` is a folder, which all processes write while the training goes on;
            ``whole`` a single file, for which the first gathers all weights and moments.
        evaluation: The models that suites measure before and after the training: ``copies`` on
            every process, or ``sharded``, for models of which a process has no room for one.
        process_group_backend: Of ``torch.distributed``.
        timeout: Of a collective call.
    """

    def __init__(
        self,
        shard: int | None = None,
        replicate: int = 1,
        checkpoints: Literal["sharded", "whole"] = "sharded",
        evaluation: Literal["copies", "sharded"] = "copies",
        process_group_backend: str | None = None,
        timeout: timedelta | None = default_pg_timeout,
    ) -> None:
        sharded = checkpoints == "sharded"
        super().__init__("auto", 1, sharded, process_group_backend, timeout)
        self.saving = Saving(timeout) if sharded else None
        self._shard, self.replicate, self.evaluation = shard, replicate, evaluation

    @property
    def shard(self) -> int:
        """Processes that share one copy of the weights."""
        return self._shard or max(1, self._processes // self.replicate)

    @property
    def misfit(self) -> str | None:
        """Why the sizes do not go with the number of processes, or None."""
        for name, size in (("shard", self._shard), ("replicate", self.replicate)):
            if size is not None and size < 1:
                return f"expected 1 or more of {name}, found {size}"
        if self.shard * self.replicate == self._processes:
            return None
        found = self.shard * self.replicate
        sizes = f"shard {self.shard} × replicate {self.replicate}"
        return f"{sizes} is {found} processes, and the run has {self._processes}"

    @property
    def _processes(self) -> int:
        return self.num_nodes * self.num_processes

    def setup_environment(self) -> None:
        """Sets the group's size, which Lightning would take to be the number of nodes."""
        if self.misfit:
            raise RecipeError(f"trainer.strategy: {self.misfit}")
        self._data_parallel_size = self._processes
        super().setup_environment()
        if self.replicate > 1:
            self._device_mesh = _copies(self.root_device.type, self.replicate, self.shard)
            module: Any = self.lightning_module
            module._device_mesh = self._device_mesh

    def connect_ranks(self) -> None:
        """Connects the processes before there is a model; the set-up finds them connected."""
        assert self.accelerator is not None
        self.accelerator.setup_device(self.root_device)
        self._setup_distributed()

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Loads what `save_checkpoint` wrote, of an optimizer without state too.

        Lightning's reader looks at the first weight's state, and plain SGD keeps none.

        Raises:
            RecipeError: If the file is damaged.
        """
        path = Path(self.broadcast(checkpoint_path))
        if is_folder_of_shards(path):
            return load_shards(path, self.lightning_module, self.optimizers)
        found_by_first(lambda: refuse_damaged(path))
        found = _optimizer_states(path)
        if not found or any(each["state"] for each in found):
            return super().load_checkpoint(path, weights_only)
        optimizers, self.optimizers = self.optimizers, []
        try:
            checkpoint = super().load_checkpoint(path, weights_only)
        finally:
            self.optimizers = optimizers
        for optimizer, state in zip(optimizers, found, strict=True):
            for group, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
                group.update({key: saved[key] for key in saved if key != "params"})
        return checkpoint

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The module's state; of sharded checkpoints without a copy of it."""
        if self.saving is None:
            return super().lightning_module_state_dict()
        assert self.model is not None
        return without_second_names(get_model_state_dict(self.model), self.model)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state of an optimizer; of sharded checkpoints without a copy of it."""
        if self.saving is None:
            return super().optimizer_state(optimizer)
        assert self.model is not None
        return get_optimizer_state_dict(self.model, getattr(optimizer, "_optimizer", optimizer))

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        """Saves a checkpoint, or begins to; `settle` waits for it.

        Raises:
            UserError: If it, or a sharded one before, could not be written.
        """
        path = Path(self.broadcast(filepath))
        if self.saving is not None and storage_options is None:
            self.saving.save(checkpoint, path)
        else:
            super().save_checkpoint(checkpoint, path, storage_options)

    def remove_checkpoint(self, filepath: str | Path) -> None:
        """Removes a checkpoint; a sharded one when what takes its place is written."""
        if self.saving is None:
            super().remove_checkpoint(filepath)
        elif self.is_global_zero:
            self.saving.remove(Path(filepath))

    def settle(self) -> None:
        """Waits until all checkpoints are written.

        Raises:
            UserError: If one could not be.
        """
        if self.saving is not None:
            self.saving.settle()

    def teardown(self) -> None:
        """Waits for what is still being written, and lets go of the processes."""
        if self.saving is not None:
            self.saving.end()
        super().teardown()


def _copies(device: str, replicate: int, shard: int) -> DeviceMesh:
    """A mesh of copies whose rows and columns together are Lightning's one group."""
    names = ("replicate", "shard", "tensor_parallel")
    mesh = init_device_mesh(device, (replicate, shard, 1), mesh_dim_names=names)
    mesh["replicate", "shard"]._flatten("data_parallel")
    return mesh


def _optimizer_states(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():  # a folder of shards, which Lightning reads in another way
        return []
    checkpoint = torch.load(path, mmap=True, map_location="cpu", weights_only=True)
    return checkpoint.get("optimizer_states", [])


StrategyRegistry.register(
    "fsdp2", FSDP2Strategy, description="Fully sharded data parallel, second version", override=True
)


def is_sharded(trainer: L.Trainer) -> bool:
    """Whether the trainer's strategy shards models by `shard`."""
    return isinstance(trainer.strategy, ModelParallelStrategy)


def shards_checkpoints(trainer: L.Trainer) -> bool:
    """Whether the trainer's checkpoints are folders of shards."""
    return isinstance(trainer.strategy, FSDP2Strategy) and trainer.strategy.saving is not None


def sharding_mesh(mesh: DeviceMesh) -> DeviceMesh:
    """The processes of a run that weights are spread over, and where there are copies, these."""
    if "replicate" in (mesh.mesh_dim_names or ()):
        return mesh["replicate", "shard"]
    return mesh["data_parallel"]


def policy_of(precision: str | None) -> MixedPrecisionPolicy:
    """What blocks are gathered in, and what their gradients are added up in.

    Mixed precision gathers weights in bfloat16, so that autocast has nothing left to cast and
    keeps no copy; sums over processes are of float32 wherever weights or products are of bfloat16.

    Args:
        precision: The trainer's.

    Example:
        >>> policy_of("bf16-mixed").param_dtype, policy_of("bf16-true").reduce_dtype
        (torch.bfloat16, torch.float32)
        >>> policy_of("32-true").param_dtype
    """
    return MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if precision == "bf16-mixed" else None,
        reduce_dtype=torch.float32 if str(precision).startswith("bf16") else None,
        cast_forward_inputs=False,  # they are bfloat16 already, and forests cannot be copied
    )


def shard(
    models: Iterable[nn.Module | None], mesh: DeviceMesh, precision: str | None = None
) -> None:
    """Shards each decoder block of each model, and in one more group what is outside of them.

    That group holds embedding, final norm and head. It stays whole from a forward pass to the end
    of the backward pass: the head is called again for each chunk of response tokens, and the
    processes have different numbers of chunks, so it must need no communication.

    Args:
        models: The models.
        mesh: The processes.
        precision: The trainer's; see `policy_of`.

    Raises:
        RecipeError: If weights of two types are trained, which FSDP2 cannot add up together.
    """
    policy = policy_of(precision)
    for model in filter(None, models):
        _refuse_mixed_dtypes(model)
        for block in decoder_blocks(model):
            fully_shard(block, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
        # The transformers model inside of PEFT's: generation calls it past the outer one.
        inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        fully_shard(inner, mesh=mesh, reshard_after_forward=False, mp_policy=policy)


def let_go(model: nn.Module) -> None:
    """Frees what a model that has no backward pass holds beyond its own shard."""
    inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    if isinstance(inner, FSDPModule):
        inner.reshard()


def whole_state(model: nn.Module) -> dict[str, Any]:
    """All weights on the CPU of the first process, nothing on the others. A collective call."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_model_state_dict(model, options=options)


def _refuse_mixed_dtypes(model: nn.Module) -> None:
    """Refuses trained weights of two types; those that are frozen may have another."""
    found: set[torch.dtype] = {p.dtype for p in model.parameters() if p.requires_grad}
    if len(found) > 1:
        names = " and ".join(sorted(str(each).removeprefix("torch.") for each in found))
        raise RecipeError(
            f"trainer.strategy: fsdp2 needs trained weights of one type, and here they are {names}",
            hint="Set trainer.precision: bf16-true, or model.base.dtype: float32 with "
            "trainer.precision: bf16-mixed.",
        )
