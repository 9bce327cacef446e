"""Writes sharded checkpoints in the background, one after the other."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_saver import async_save

from unlearnkit.engine.shards import folder
from unlearnkit.engine.shards.parts import files_of, taken_apart
from unlearnkit.errors import UserError
from unlearnkit.files import name_beside

logger = logging.getLogger(__name__)


class Saving:
    """Saves checkpoints whose shards the processes write while the training goes on.

    Tensors are copied to main memory before `save` returns. A checkpoint gets its name when all
    of its files are on disk, and one that it replaces is removed after that, so that there is a
    whole one at every moment. All methods but `remove` are collective calls.

    Args:
        timeout: Of a collective call of the background.
    """

    def __init__(self, timeout: timedelta | None) -> None:
        self._timeout = timeout
        self._group: Any = None
        self._tasks: list[Future[None]] = []
        self._worker: ThreadPoolExecutor | None = None

    def save(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Begins to write a checkpoint, once the one before is written.

        Args:
            checkpoint: Lightning's, in which sharded tensors are DTensors.
            path: The same on all processes.

        Raises:
            UserError: If the one before could not be written.
        """
        self.settle()
        if self._group is None:
            # The training's own collective calls go on meanwhile.
            self._group = dist.new_group(backend="gloo", timeout=self._timeout)
        sharded, plain = taken_apart(checkpoint)
        told = [name_beside(path)]
        dist.broadcast_object_list(told, src=0, group=self._group)
        unfinished = told[0]
        first = dist.get_rank() == 0
        content = folder.as_bytes(plain) if first else b""
        writer = HuggingFaceStorageWriter(
            str(unfinished),
            fqn_to_index_mapping=files_of(sharded, dist.get_world_size()),
            save_distributed=True,
        )
        written: Any = async_save(dict(sharded), storage_writer=writer, process_group=self._group)
        self._submit(self._finish, written, unfinished, path, content)

    def remove(self, path: Path) -> None:
        """Removes a checkpoint once what is being written is there; kept if that fails."""
        self._submit(self._remove, list(self._tasks), path)

    def settle(self) -> None:
        """Waits until all is written.

        Raises:
            UserError: If it could not be, on all processes.
        """
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.result()

    def end(self) -> None:
        """Waits as `settle` does, and only tells what went wrong."""
        try:
            self.settle()
        except Exception as error:
            said = error.message if isinstance(error, UserError) else str(error)
            logger.warning("the last checkpoint was not written: %s", said)
        if self._worker is not None:
            self._worker.shutdown()
        self._worker = self._group = None

    def _submit(self, task: Any, *arguments: Any) -> None:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._tasks.append(self._worker.submit(task, *arguments))

    def _finish(self, written: Future[Any], unfinished: Path, path: Path, content: bytes) -> None:
        """Waits for the shards, and has the first process complete the checkpoint."""
        failure: str | None = None
        try:
            written.result()
        except CheckpointException as error:
            failure = "; ".join(sorted({str(each[0]) for each in error.failures.values()}))
        rank, world = dist.get_rank(), dist.get_world_size()
        # Only names that this process has made: those of others may not be seen here yet.
        own = unfinished.glob(f"shard-{rank + 1:05d}-{folder.SHARDS}") if not failure else ()
        digests: list[Any] = [None] * world
        dist.gather_object(
            folder.digests_of(own), digests if rank == 0 else None, dst=0, group=self._group
        )
        if rank == 0:
            failure = failure or _completed(unfinished, path, content, digests)
            if failure:
                shutil.rmtree(unfinished, ignore_errors=True)
        told = [failure]
        dist.broadcast_object_list(told, src=0, group=self._group)
        if told[0]:
            raise UserError(f"cannot write the checkpoint {path}: {told[0]}")

    @staticmethod
    def _remove(before: list[Future[None]], path: Path) -> None:
        if all(task.exception() is None for task in before):
            folder.discard(path)


def _completed(
    unfinished: Path, path: Path, content: bytes, digests: list[dict[str, str]]
) -> str | None:
    """Completes a checkpoint; gives what went wrong."""
    try:
        listed = {name: digest for each in digests for name, digest in each.items()}
        folder.complete(unfinished, content, listed)
        folder.put_in_place(unfinished, path)
    except UserError as error:
        return error.message
    except OSError as error:
        return str(error.strerror or error)
    return None
