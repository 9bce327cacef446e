"""Completes Lightning's checkpoints for an exact resume."""

from __future__ import annotations

import logging
import random
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from unlearnkit.engine.training.buckets import lay_buckets
from unlearnkit.errors import RecipeError

logger = logging.getLogger(__name__)
RandomStates = dict[str, Any]


def random_states() -> RandomStates:
    """The states of this process's generators, of types that load with ``weights_only=True``.

    Example:
        >>> states = random_states()
        >>> first = torch.rand(1)
        >>> restore_random_states(states)
        >>> bool(torch.rand(1) == first)
        True
    """
    numpy: Any = np.random.get_state()  # noqa: NPY002 user code may use the global generator
    version, words, gauss = random.getstate()
    states: RandomStates = {
        "python": [version, list(words), gauss],
        "numpy": [numpy[0], numpy[1].tolist(), *numpy[2:]],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: RandomStates) -> None:
    """Sets this process's generators to what `random_states` gave."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


class ExactResume(L.Callback):
    """Keeps every process's random state in checkpoints, and steps back to whole steps.

    Gradients that are still being accumulated are not saved. A checkpoint written amid an
    accumulation window therefore stands for the window's start, random state included, and the
    resumed run repeats its micro-batches. Under DDP the first step of a run adds up gradients in
    the order of all later ones. `UnlearningModule` brings this callback along.
    """

    def __init__(self) -> None:
        self._at_window_start: RandomStates | None = None
        self._to_restore: list[RandomStates] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lays DDP's buckets."""
        lay_buckets(trainer.strategy.model)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restores the random state before the first micro-batch after a resumption."""
        if self._to_restore:
            self._restore(trainer)
        if trainer.accumulate_grad_batches > 1 and batch_idx % trainer.accumulate_grad_batches == 0:
            self._at_window_start = random_states()

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the random states; a collective call, like all of saving."""
        amid = micro_batches_amid_window(trainer)
        own = self._at_window_start if amid else random_states()
        states: list[Any] = [own]
        if dist.is_available() and dist.is_initialized():
            states = [None] * dist.get_world_size()
            dist.all_gather_object(states, own)
        checkpoint["random_states"] = states
        if amid:
            _step_back(checkpoint["loops"]["fit_loop"], amid)

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Takes the random states; they are set just before the first micro-batch."""
        self._to_restore = checkpoint.get("random_states", [])
        loaders = checkpoint.get("loops", {}).get("fit_loop", {}).get("state_dict", {})
        if "combined_loader" in loaders:
            # Version 0.1.0 had a loader for each stream; none of them has a state.
            loaders["combined_loader"] = loaders["combined_loader"][:1]

    def _restore(self, trainer: L.Trainer) -> None:
        states, self._to_restore = self._to_restore, []
        if len(states) != trainer.world_size:
            logger.warning(
                "the checkpoint is of %d processes and this run has %d: it continues with the same "
                "weights and other dropout; its steps take the same rows only where "
                "data.batch_size × processes is what it was",
                len(states), trainer.world_size,
            )  # fmt: skip
            return
        restore_random_states(states[trainer.global_rank])


def keep_what_is_trained(state: dict[str, Any], policy: nn.Module) -> None:
    """Takes the reference and frozen weights out of a module's state; of LoRA the adapter stays."""
    # A tied output head is named a second time in the state, and there only.
    named = policy.named_parameters(remove_duplicate=False)
    frozen = {f"policy.{k}" for k, p in named if not p.requires_grad}
    for key in [k for k in state if k.startswith("reference.") or k in frozen]:
        del state[key]


def refuse_gaps(checkpoint: dict[str, Any], policy: nn.Module) -> None:
    """Refuses a checkpoint that lacks a trained weight, or has one of another shape.

    Raises:
        RecipeError: With the first few of these weights.
    """
    trained = {f"policy.{k}": p for k, p in policy.named_parameters() if p.requires_grad}
    # A sharding strategy has taken the weights out by now, and matches them itself.
    found = checkpoint.get("state_dict", trained)
    others = [k for k, p in trained.items() if k in found and found[k].shape != p.shape]
    if others:
        first = others[0]
        raise RecipeError(
            f"the checkpoint has {len(others)} trained weights of other shapes, such as {first}: "
            f"{[*found[first].shape]}, and the model has {[*trained[first].shape]}",
            hint="Resume with the recipe that made it (recipe.yaml in the run folder).",
        )
    missing = sorted(set(trained) - set(found))
    if missing:
        raise RecipeError(
            f"the checkpoint lacks {len(missing)} trained weights, such as "
            f"{', '.join(missing[:3])}",
            hint="Resume with the recipe that made it (recipe.yaml in the run folder).",
        )


def micro_batches_amid_window(trainer: L.Trainer) -> int:
    """Micro-batches whose gradients wait for the rest of their accumulation window."""
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    done = progress.processed
    if done >= trainer.num_training_batches:  # Lightning steps at the end of an epoch
        return 0
    return done % trainer.accumulate_grad_batches


def _step_back(loop: dict[str, Any], micro_batches: int) -> None:
    """Makes the loop's progress that of right after the last optimiser step."""
    progress = loop["epoch_loop.batch_progress"]
    for count in (progress["total"], progress["current"]):
        processed = count["processed"] - micro_batches
        # As Lightning leaves it where it saves after a step: that batch is not completed yet.
        completed = processed - 1 if progress["current"]["processed"] > micro_batches else processed
        count.update(ready=processed, started=processed, processed=processed, completed=completed)
    progress["is_last_batch"] = False
    # On restarting Lightning counts the step before, which here has been counted.
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
