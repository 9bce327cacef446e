"""The models, rows and sizes that a suite may use."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from unlearnkit.data.tokens.chat_template import DEFAULT_DATE
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.control import ControlInData
from unlearnkit.errors import RecipeError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from unlearnkit.data.datamodule import UnlearningDataModule
    from unlearnkit.data.encoded import StreamData
    from unlearnkit.engine.reference.kinds import Reference

_T = TypeVar("_T")


@dataclass(frozen=True)
class SuiteContext:
    """What a suite may use beside the model that it evaluates.

    Args:
        data: The recipe's streams by name, tokenised; empty outside a run.
        reference: The model as it was at the start, for KL: a model, or the reference of a run.
            Without it those metrics are left out.
        gold: The model that never saw the forget set, where there is one.
        batch_size: Rows in one forward pass.
        max_length: Longest sequence in tokens, for the suite's own files.
        max_new_tokens: Upper bound of every generation, or None for the suite's own.
        seed: Seed of random choices.
        date: Date that chat templates see.
        control_tokens: Treatment of control tokens that the suite's own files spell out.
        kept: Where values of the gold model are kept while several models are compared with it;
            None to compute them for each.
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
    kept: dict[Hashable, Any] | None = None

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

    def of_gold(
        self, key: Hashable, model: nn.Module, own: _T, make: Callable[[nn.Module], _T]
    ) -> _T:
        """Values of the gold model, computed once in a run.

        Args:
            key: Names the values: the suite, and what they are of.
            model: The model that is evaluated; it may be the gold model.
            own: Its values.
            make: Computes the same of the gold model.
        """
        assert self.gold is not None
        kept = {} if self.kept is None else self.kept
        if model is self.gold:
            kept[key] = own
        elif key not in kept:
            kept[key] = make(self.gold)
        return kept[key]

    def without_gold(self, suite: str) -> SuiteContext:
        """The context of a suite that has not said that it uses the gold model.

        Args:
            suite: Its name, for the error that ends it where it asks for the gold model.
        """
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        withheld = _WithoutGold(**given)
        withheld.__dict__["suite"] = suite
        return withheld

    def codec(self, tokenizer: PreTrainedTokenizerBase) -> Codec:
        """Turns a suite's own texts into tokens as the recipe's streams do."""
        return Codec(tokenizer, self.max_length, self.date, control_tokens=self.control_tokens)


class _WithoutGold(SuiteContext):
    """There is a gold model, and the suite would be given it in some stages and not in others."""

    suite: str

    def __getattribute__(self, name: str) -> Any:
        if name == "gold":
            raise RecipeError(
                f"the suite '{self.suite}' reads context.gold, and does not say that it uses it",
                hint="Set `uses_gold: ClassVar[bool] = True` in its class.",
            )
        return super().__getattribute__(name)
