"""What an evaluation is: probes of a model, and the figures they give."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from unlearnkit.data.tokens.chat_template import DEFAULT_DATE
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.control import ControlInData
from unlearnkit.registry import Registered

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unlearnkit.data.datamodule import UnlearningDataModule
    from unlearnkit.data.encoded import StreamData
    from unlearnkit.engine.reference.kinds import Reference


Better: TypeAlias = Literal["lower", "higher", "zero"]
"""Which values of a figure are good; ``zero`` is the nearest to 0."""


@dataclass(frozen=True)
class SuiteContext:
    """What a suite may use beside the model that it evaluates.

    Args:
        data: The recipe's streams by name, tokenised; empty outside a run.
        reference: The model as it was at the start, for KL: a model, or the reference of a run.
            Without it those figures are left out.
        gold: The model that never saw the forget set, where there is one.
        batch_size: Rows in one forward pass.
        max_length: Longest sequence in tokens, for the suite's own files.
        max_new_tokens: Upper bound of every generation, or None for the suite's own.
        seed: Of anything that is drawn.
        date: Date that chat templates see.
        control_tokens: What becomes of control tokens that the suite's own files spell out.
    """

    data: Mapping[str, StreamData] = field(default_factory=dict)
    reference: Reference | nn.Module | None = None
    gold: nn.Module | None = None
    batch_size: int = 32
    max_length: int = 512
    max_new_tokens: int | None = None
    seed: int = 0
    date: str = DEFAULT_DATE
    control_tokens: ControlInData = "text"

    @classmethod
    def of(cls, data: UnlearningDataModule, seed: int = 0, batch_size: int = 32) -> SuiteContext:
        """The context of a recipe: its streams, and its ways to turn text into tokens."""
        return cls(
            data=data.data,
            batch_size=batch_size,
            max_length=data.max_length,
            seed=seed,
            date=data.date,
            control_tokens=data.control_tokens,
        )

    def codec(self, tokenizer: PreTrainedTokenizerBase) -> Codec:
        """Turns a suite's own texts into tokens as the recipe's streams do."""
        return Codec(tokenizer, self.max_length, self.date, control_tokens=self.control_tokens)


@dataclass(frozen=True)
class SuiteResult:
    """What a suite found.

    Args:
        values: Figures by ``<stream>/<metric>``; the keys are public. None where no row holds
            anything to measure.
        rows: One mapping a probe: its stream, its texts and its own figures, as JSON types.
        missing: Figures that could not be worked out, and which input each of them lacks.
        notes: What was cut, and how many rows a figure leaves out, a sentence each.
    """

    values: Mapping[str, float | None]
    rows: list[dict[str, Any]]
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Has no number that is none in the result, and no figure without one that is not told."""
        finite = {k: v for k, v in self.values.items() if v is not None and math.isfinite(v)}
        object.__setattr__(self, "values", {name: finite.get(name) for name in self.values})
        told = [note.partition(":")[0] for note in self.notes]
        for name in self.values:
            if name not in finite and name not in told:
                self.notes.append(f"{name}: no row holds anything to measure, or it is infinite")


class Suite(Registered, ABC):
    """An evaluation, run before and after unlearning and on the gold model.

    A subclass reads its probes in `check` or `run`, and nothing in ``__init__``, whose arguments
    are the fields of a recipe.
    """

    better: ClassVar[Mapping[str, Better]] = {}
    """Good values by figure; a key may hold ``*``, and of several that match the first counts."""
    uses_gold: ClassVar[bool] = False
    """Whether it runs the gold model beside, where there is one."""

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the recipe's streams that it reads, of those that the recipe has."""
        return ()

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and checks the suite's own data; called before any model is loaded.

        Raises:
            DataError: With all bad rows.
            RecipeError: If a field names neither a stream nor a file.
        """

    @abstractmethod
    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model, and leaves it as it was."""

    def figures(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, float | None]:
        """The figures of any choice of `run`'s rows, from which intervals are bootstrapped.

        A figure that is no mean over rows, such as a p-value, may be left out, and so has no
        interval; by default all are.
        """
        return {}

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str | None:
        """Digest of the suite's arguments and of all data that it reads.

        None, the default, says that its results cannot be recognised and are found anew.
        """
        return None
