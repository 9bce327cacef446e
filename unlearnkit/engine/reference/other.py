"""A reference that is another model than the one at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from unlearnkit.engine.reference.kinds import Frozen, frozen_copy
from unlearnkit.engine.step.attention_choice import attend_to_forests
from unlearnkit.engine.step.layout import choose_layout
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import refuse_other_tokens
from unlearnkit.models.check import check_whole
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import load_config, load_model

KEY = "model.reference"


@dataclass
class OtherModel:
    """The model that a recipe names as the reference, such as a teacher to distil from.

    Args:
        path: Any model that ``model.base`` can name: a folder, a run folder, a hub id.
        phase: In a run of several phases, the name of an earlier one, whose model it is.

    Raises:
        RecipeError: If both are given, or none.

    Example:
        >>> OtherModel(path="runs/unlearned")
        OtherModel(path='runs/unlearned', phase=None)
    """

    path: str | None = None
    phase: str | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.phase is None):
            raise RecipeError(
                f"{KEY}: expected a path or a phase, found {self.path!r} and {self.phase!r}",
                hint="Give {path: FOLDER}, or in a recipe of phases {phase: NAME}.",
            )

    @property
    def found(self) -> str:
        """Where the model is.

        Raises:
            RecipeError: If it is that of a phase, and this is none of a run of phases.
        """
        if self.path is None:
            raise RecipeError(
                f"{KEY}: phase '{self.phase}': there is no such phase before",
                hint="Give an earlier phase of this recipe, or {path: FOLDER}.",
            )
        return self.path

    def check(self, tokenizer: Any, vocabulary: int) -> None:
        """Checks what can be checked without weights.

        Args:
            tokenizer: That of the rows.
            vocabulary: Entries of the trained model's output.

        Raises:
            RecipeError: If there is no model, or it has other tokens.
        """
        path = self.found
        check_whole(path, KEY)
        refuse_other_tokens(KEY, path, tokenizer)
        try:
            theirs = load_config(path).get_text_config().vocab_size
        except RecipeError as error:  # it speaks of the base
            message = error.message.removeprefix("model.base: ")
            raise RecipeError(f"{KEY}: {message}", hint=error.hint) from error
        if theirs != vocabulary:
            raise RecipeError(
                f"{KEY}: {path} gives probabilities of {theirs} tokens, and the trained model "
                f"of {vocabulary}",
                hint="Give a model of the same tokenizer and vocabulary.",
            )

    @property
    def settings(self) -> dict[str, Any]:
        """What a checkpoint's record holds of it."""
        return {f"{KEY}.path": self.found, f"{KEY}.fingerprint": model_fingerprint(self.found)}


def kept_reference(module: Any, model: PreTrainedModel) -> Frozen:
    """The reference of kind ``frozen``: a copy of the model at the start, or the other model.

    Args:
        module: An `UnlearningModule`. It has its layout and attention already.
        model: What it is about to train.
    """
    if module.other is None:
        return frozen_copy(model, module.reference_dtype)
    other = load_model(module.other.found)
    choose_layout(other, module.layout)
    if module.layout == "packed":
        attend_to_forests(other, module.attention, module._trainer)
    return frozen_copy(other, module.reference_dtype, copied=False)
