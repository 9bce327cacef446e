"""The LightningDataModule of named streams."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import lightning as L
from lightning.pytorch.callbacks import GradientAccumulationScheduler

from unlearnkit.data.overlap import warn_of_overlap, warn_of_repeats, warn_of_unknown
from unlearnkit.data.packer import Packer
from unlearnkit.data.plan import StepPlan, StreamPlan
from unlearnkit.data.sampler import StepDataset, StepLoader, StepRows, StepSampler
from unlearnkit.data.streams.base import FileStream, Stream, StreamData
from unlearnkit.data.streams.prompts import without_responses
from unlearnkit.data.tokens.chat_template import DEFAULT_DATE
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.control import ControlInData
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.loaded import TokenizerSource
from unlearnkit.redact import is_path

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class UnlearningDataModule(L.LightningDataModule):
    """Named streams of prompt-response rows, drawn side by side.

    One epoch is one pass over the anchor stream; the others continue without replacement. The rows
    of a step depend on the seed, the step and the rank alone, so a resumed run continues exactly
    where it stopped, with any number of workers.

    Args:
        streams: Streams by name; the names are those that objectives read.
        tokenizer: The tokenizer, or where it is to be loaded from (as ``model.base``).
        batch_size: Rows of each stream per micro-batch and process, unless the stream has its own.
        max_length: Longest sequence in tokens; responses are cut to fit.
        anchor: The stream whose pass is an epoch.
        num_workers: Loader processes, which pack the batches too.
        seed: Seed of the order and of random answers.
        shuffle: Draw rows in a random order.
        date: Date that chat templates see, so that tokens are the same every day.
        control_tokens: Treatment of control tokens such as ``</s>`` that the text of a row
            spells out: ``text`` reads them as any other text, ``refuse`` names the rows, ``keep``
            takes them for the tokens (prompts that are rendered already).

    Raises:
        RecipeError: If the anchor is not among the streams, or a number is out of range.
    """

    def __init__(
        self,
        streams: dict[str, Stream],
        tokenizer: TokenizerSource = "tiny",
        batch_size: int = 4,
        max_length: int = 512,
        anchor: str = "forget",
        num_workers: int = 0,
        seed: int = 0,
        shuffle: bool = True,
        date: str = DEFAULT_DATE,
        control_tokens: ControlInData = "text",
    ) -> None:
        super().__init__()
        if anchor not in streams:
            raise RecipeError(
                f"data.anchor: no stream is named '{anchor}'",
                hint=f"data.streams has: {', '.join(streams) or 'none'}.",
            )
        if batch_size < 1:
            raise RecipeError(f"data.batch_size: expected at least 1, found {batch_size}")
        if num_workers < 0:
            raise RecipeError(f"data.num_workers: expected 0 or more, found {num_workers}")
        for name, stream in streams.items():
            if is_path(name):
                raise RecipeError(f"data.streams: expected a name that is no path, found '{name}'")
            stream.call(name)
        self.streams = streams
        self.batch_size, self.max_length, self.anchor = batch_size, max_length, anchor
        self.num_workers, self.seed, self.shuffle, self.date = num_workers, seed, shuffle, date
        self.control_tokens: ControlInData = control_tokens
        self._tokenizer = tokenizer
        # A tokenizer that is already loaded does not tell which model it belongs to.
        named = isinstance(tokenizer, str | BaseModel)
        self._base: str | BaseModel | None = tokenizer if named else None
        self.data: dict[str, StreamData] = {}
        self.plan: StepPlan | None = None
        self.packer: Packer | None = None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, loaded at first use."""
        if not hasattr(self._tokenizer, "decode"):
            self._tokenizer = load_tokenizer(self._tokenizer)  # pyright: ignore
        return self._tokenizer  # pyright: ignore[reportReturnType]

    def with_tokenizer(self, tokenizer: str | BaseModel) -> UnlearningDataModule:
        """The same streams in the tokens of another model, not read yet."""
        other = copy.copy(self)
        other._tokenizer = other._base = tokenizer
        other.data = {}
        return other

    def codec(self) -> Codec:
        """Turns text into tokens as the streams do."""
        return Codec(self.tokenizer, self.max_length, self.date, self._base, self.control_tokens)

    def check(self) -> None:
        """Reads, checks and tokenises every row; no model is loaded.

        Raises:
            DataError: With all bad rows of all streams.
        """
        if self.data:
            return
        try:
            together(stream.check for stream in self.streams.values())
        except DataError as error:
            raise self._with_unfit(error) from None
        codec = self.codec()
        done: dict[str, StreamData] = {}
        for names in self._in_order():
            together(partial(self._encode, name, codec, done) for name in names)
        self.data = {name: done[name] for name in self.streams}
        warn_of_overlap(self.data)
        warn_of_repeats(self.data, self.anchor)
        unknown: Any = codec.tokenizer.unk_token_id
        warn_of_unknown(self.data, unknown)

    def _with_unfit(self, error: DataError) -> DataError:
        """The bad rows, with those among the good ones that the tokenizer shows to be bad."""
        try:
            codec = self.codec()
            together(
                partial(each.encode, name, codec, {}, self.seed)
                if isinstance(each, FileStream)
                else each.check
                for name, each in self.streams.items()
            )
        except DataError as all_of_them:
            return all_of_them
        except RecipeError:  # told once the rows are mended
            return error
        return error

    def setup(self, stage: str) -> None:
        """Checks the data and lays the plan of rows for this number of processes."""
        self.check()
        self.plan = self.plan_for(self.trainer) if self.trainer else self.make_plan()

    def plan_for(self, trainer: L.Trainer) -> StepPlan:
        """The plan of rows of a trainer.

        Raises:
            RecipeError: If the trainer changes the number of micro-batches per step as it goes,
                has none, or draws rows in a way of its own.
        """
        if (accumulate := trainer.accumulate_grad_batches) < 1:
            raise RecipeError(
                f"trainer.accumulate_grad_batches: expected at least 1, found {accumulate}"
            )
        if trainer.overfit_batches:  # pyright: ignore[reportAttributeAccessIssue]
            raise RecipeError(
                "trainer.overfit_batches: rows are drawn by the plan of a step, not by a sampler "
                "that could be exchanged",
                hint="Give the streams a limit:, or set trainer.limit_train_batches.",
            )
        if any(isinstance(c, GradientAccumulationScheduler) for c in trainer.callbacks):  # pyright: ignore
            raise RecipeError(
                "trainer.callbacks: GradientAccumulationScheduler changes the number of "
                "micro-batches per step, by which losses are divided",
                hint="Set trainer.accumulate_grad_batches to one number.",
            )
        plan = self.make_plan(trainer.world_size, accumulate)
        limit = trainer.limit_train_batches
        if isinstance(limit, float):
            return replace(plan, limit=max(1, int(plan.steps_per_epoch * limit)))
        return replace(plan, limit=limit)

    def make_plan(self, world: int = 1, accumulate: int = 1) -> StepPlan:
        """The plan of rows for ``world`` processes and ``accumulate`` micro-batches a step."""
        sizes = {
            name: StreamPlan(
                len(data), self.streams[name].batch_size or self.batch_size, data.follows
            )
            for name, data in self.data.items()
        }
        return StepPlan(sizes, self.anchor, self.seed, world, accumulate, self.shuffle)

    def use(self, packer: Packer) -> None:
        """Sets the packer; the module that reads the batches calls it.

        Raises:
            RecipeError: If it reads a stream of prompts without responses.
        """
        for name in packer.read:
            if name in self.data and not self.data[name].answered:
                raise RecipeError(without_responses(name))
        self.packer = packer

    def train_dataloader(self) -> StepLoader:
        """The micro-batches of the streams that an objective reads, as the packer makes them."""
        assert self.plan is not None, "setup() comes first"
        rank = self.trainer.global_rank if self.trainer else 0
        # The anchor keeps the count of an epoch even where no objective reads it.
        read = {*self.packer.read, self.anchor} if self.packer else self.data.keys()
        rows = StepRows(
            {n: StepDataset(self.plan, n, each, rank) for n, each in self.data.items() if n in read}
        )
        sampler = StepSampler(rows, self._micro_batches_done)
        collate = self.packer and self.packer.collate
        # A GPU copies from pinned memory while the host goes on.
        pinned = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return StepLoader(sampler, collate, num_workers=self.num_workers, pin_memory=pinned)

    def _encode(self, name: str, codec: Codec, done: dict[str, StreamData]) -> None:
        done[name] = self.streams[name].encode(name, codec, done, self.seed)

    def _micro_batches_done(self) -> int:
        if self.trainer is None:
            return 0
        # Lightning makes the iterator of a resumed epoch before it tells the sampler which epoch it
        # is, so the progress over all epochs is what counts.
        done: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return done.processed

    def _in_order(self) -> list[list[str]]:
        """Stream names in generations: those of one depend on earlier ones only."""
        left, order = dict(self.streams), []
        while left:
            ready = [n for n, s in left.items() if not set(s.depends_on()) & set(left)]
            if not ready:
                raise RecipeError(f"data.streams: {', '.join(left)} depend on each other")
            order.append(ready)
            for name in ready:
                del left[name]
        return order


def datamodule_of(trainer: L.Trainer) -> UnlearningDataModule:
    """The data module of a trainer.

    Raises:
        RecipeError: If it has none, or one of another kind.
    """
    found = getattr(trainer, "datamodule", None)
    if not isinstance(found, UnlearningDataModule):
        raise RecipeError(
            f"trainer.fit: expected datamodule=UnlearningDataModule(...), found {found!r}"
        )
    return found


def together(calls: Iterable[Callable[[], object]]) -> None:
    """Makes every call, and raises all data errors as one."""
    problems: list[Problem] = []
    hints: list[str] = []
    for call in calls:
        try:
            call()
        except DataError as error:
            problems += error.problems
            hints += [error.hint] if error.hint and error.hint not in hints else []
    if problems:
        raise DataError(list(dict.fromkeys(problems)), hint="\n".join(hints) or None)
