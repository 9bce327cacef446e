"""Samples answers from a model, and writes each to disk at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from filelock import FileLock
from torch import nn

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.generated import HF, generating
from unlearnkit.data.plan import derived_seed
from unlearnkit.data.samples import Ids, Origin, SampledAnswer, sample_row
from unlearnkit.data.streams.sampled import SampledData
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.control import control_of
from unlearnkit.engine.generation.backends.saved import saved_as
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.nodes import on_every_node
from unlearnkit.engine.training.fsdp2 import is_sharded
from unlearnkit.errors import UserError
from unlearnkit.models.load import load_model

SEQUENCES_AT_ONCE = 32
_GROUPS = 16
"""Groups of rows in one call of a backend other than transformers batch by batch."""

Groups = Sequence[Sequence[Ids]]


def draw(
    load: Callable[[], nn.Module],
    codec: Codec,
    prompts: Sequence[Ids],
    per_prompt: int,
    path: Path,
    origin: Origin,
    done: Collection[Ids],
    shown: Callable[[Groups], Iterable[Sequence[Ids]]] = iter,
) -> int:
    """Answers the prompts that are not done yet, and appends them to a file.

    The batches depend on all prompts, not on those that are left, so an interrupted run continues
    exactly.

    Args:
        load: Gives the model; not called where there is nothing to do.
        codec: Tokenizer.
        prompts: All prompts.
        per_prompt: Answers per prompt.
        path: The file.
        origin: What the answers depend on; its settings are used.
        done: Prompts that the file answers already.
        shown: Passes the groups on, for instance to a progress bar.

    Returns:
        Number of prompts that were answered.

    Raises:
        UserError: If the file cannot be written.
    """
    distinct = list(dict.fromkeys(prompts))
    size = max(1, _sequences() // per_prompt)
    groups = [distinct[first : first + size] for first in range(0, len(distinct), size)]
    groups = [group for group in groups if not all(ids in done for ids in group)]
    answered = 0
    if not groups:
        return answered
    model = load()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            for group in shown(groups):
                for row in _answered(model, codec, group, per_prompt, origin, done):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    answered += 1
                file.flush()
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    return answered


def redrawn(model: nn.Module, data: SampledData, step: int) -> dict[Ids, list[SampledAnswer]]:
    """Answers of a model to all prompts of a stream; a step's are other draws than the next one's.

    Args:
        model: The model as it is now.
        data: The stream, whose sampling settings are used.
        step: Number of the draw.
    """
    origin = replace(data.origin, seed=derived_seed(data.origin.seed, "step", step))
    size = max(1, SEQUENCES_AT_ONCE // data.pool)
    prompts = data.prompt_ids
    found: dict[Ids, list[SampledAnswer]] = {}
    for first in range(0, len(prompts), size):
        group = prompts[first : first + size]
        rows = _answers(model, data.codec, group, data.pool, origin)
        found |= {ids: answers for ids, _, answers in rows}
    return found


@contextmanager
def lock_of(path: Path) -> Iterator[None]:
    """Keeps other processes from writing a file of answers.

    Raises:
        UserError: If its folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        yield
    finally:
        lock.release()


def draw_for(module: Any, trainer: L.Trainer, data: Any) -> None:
    """Samples what the ``sampled`` streams of a run lack, from the model at the start.

    The first process does, and may call this by itself; the others wait for it by a barrier, and
    read what it wrote.

    Args:
        module: An `UnlearningModule`.
        trainer: Its trainer.
        data: Its data module; None of a fit without one.

    Raises:
        DataError: If a file of answers cannot be read.
        UserError: If one cannot be written.
    """
    if not isinstance(data, UnlearningDataModule):
        return
    data.check()
    sampled = [each for each in data.data.values() if isinstance(each, SampledData)]
    if not sampled:
        return

    def load() -> nn.Module:
        device = trainer.strategy.root_device
        if is_sharded(trainer):
            return saved_as(nn.Module.to(load_model(module.base), device), module.base)
        module.configure_model()
        return saved_as(module.policy.to(device), module.base)

    for each in sampled:
        each.use_base(module.base)
        if trainer.is_global_zero:
            # Another run that draws the same answers waits, and then finds them.
            with lock_of(each.file):
                drop_torn_line(each.file)
                done = {ids for ids, row in each.known().items() if len(row.answers) >= each.pool}
                draw(load, each.codec, each.prompt_ids, each.pool, each.file, each.origin, done)


def read_by_all(trainer: L.Trainer, data: Any) -> None:
    """Waits for what the first process has drawn, and has each node see it. A collective call."""
    trainer.strategy.barrier()
    if isinstance(data, UnlearningDataModule):
        for each in data.data.values():
            if isinstance(each, SampledData):
                on_every_node(each.file)


def drop_torn_line(path: Path) -> None:
    """Removes the line that an interrupted run left half-written."""
    if path.is_file():
        whole = path.read_bytes()
        if not whole.endswith(b"\n"):
            # In one step: a kill while it is written anew would cost all answers.
            os.truncate(path, whole.rfind(b"\n") + 1)


def on_device(model: nn.Module) -> nn.Module:
    """The model on the accelerator, where there is one."""
    return model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _sequences() -> int:
    """Sequences of a group; a backend that fills gaps by itself is given many."""
    return SEQUENCES_AT_ONCE * (1 if generating() == HF else _GROUPS)


def _answered(
    model: nn.Module,
    codec: Codec,
    group: Sequence[Ids],
    per_prompt: int,
    origin: Origin,
    done: Collection[Ids],
) -> Iterable[dict[str, object]]:
    for ids, text, answers in _answers(model, codec, group, per_prompt, origin):
        if ids not in done:
            yield sample_row(text, ids, answers, origin)


def _answers(
    model: nn.Module, codec: Codec, group: Sequence[Ids], per_prompt: int, origin: Origin
) -> Iterator[tuple[Ids, str, list[SampledAnswer]]]:
    """Each prompt of a group with its text and its answers."""
    tokenizer = codec.tokenizer
    texts = [
        str(tokenizer.decode(control_of(tokenizer).without(ids), skip_special_tokens=True))
        for ids in group
    ]
    asked: list[Sequence[int]] = list(group)
    if origin.template != "{prompt}":
        asked = [codec.prompt(codec.framed(origin.template, text)) for text in texts]
    drawn = generate(
        model,
        tokenizer,
        [ids for ids in asked for _ in range(per_prompt)],
        max_new_tokens=origin.max_new_tokens,
        batch_size=per_prompt * len(group) if generating() == HF else SEQUENCES_AT_ONCE,
        temperature=origin.temperature,
        top_p=origin.top_p,
        top_k=origin.top_k or 0,
        seed=derived_seed(origin.seed, *(token for ids in asked for token in ids)),
    )
    for place, (ids, text) in enumerate(zip(group, texts, strict=True)):
        own = drawn[place * per_prompt : (place + 1) * per_prompt]
        yield ids, text, [SampledAnswer(g.text, g.ids, not g.hit_limit) for g in own]
