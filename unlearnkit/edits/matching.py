"""Checks that the weights of two models can be added."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedConfig

from unlearnkit.edits.weights import Weights
from unlearnkit.errors import Problem, RecipeError, UserError
from unlearnkit.models.base import BaseModel, config_value, load_tokenizer
from unlearnkit.models.fingerprint import tokenizer_fingerprint
from unlearnkit.models.load import load_config

SAME = (
    "model_type", "architectures", "tie_word_embeddings", "num_hidden_layers",
    "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "rope_parameters",
    "rms_norm_eps", "per_layer_config",
)  # fmt: skip
"""Keys of a config that change what the same weights mean."""
_SHOWN = 20

Base = str | BaseModel


def name_of(base: Base) -> str:
    """What a model is called in messages."""
    return base if isinstance(base, str) else base.path


def refuse(problems: list[Problem], hint: str) -> None:
    """Raises if there are problems, with all of them in one error.

    Raises:
        UserError: With one line per problem.
    """
    if not problems:
        return
    lines = [str(each) for each in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"and {len(problems) - _SHOWN} more")
    raise UserError("\n".join(lines), title="models do not match", hint=hint)


def config_problems(base: Base, others: list[Base]) -> Iterator[Problem]:
    """Models that are missing, or whose config or tokenizer is not that of ``base``."""
    found = {}
    for each in [base, *others]:
        try:
            found[name_of(each)] = load_config(each), load_tokenizer(each)
        except RecipeError as error:
            message = error.message.removeprefix("model.base: ")
            yield Problem(name_of(each), None, None, message, "a model with its tokenizer")
    if name_of(base) not in found:
        return
    config, tokenizer = found[name_of(base)]
    if getattr(config, "quantization_config", None):
        yield Problem(
            name_of(base), None, "quantization_config", "quantised weights", "float weights"
        )
    for other in map(name_of, others):
        if other not in found or other == name_of(base):
            continue
        yield from _config_differences(name_of(base), config, other, found[other][0])
        yield from tokenizer_problems(name_of(base), tokenizer, other, found[other][1])


def tokenizer_problems(
    base: str, base_tokenizer: object, other: str, tokenizer: object
) -> Iterator[Problem]:
    """Two tokenizers that do not give the same ids."""
    if tokenizer_fingerprint(base_tokenizer) != tokenizer_fingerprint(tokenizer):
        sizes = [len(each) for each in (tokenizer, base_tokenizer)]  # pyright: ignore
        yield Problem(
            other, None, "tokenizer", f"another one ({sizes[0]} tokens)",
            f"that of {base} ({sizes[1]} tokens)",
        )  # fmt: skip


def weight_problems(base: str, weights: Weights, other: str, tuned: Weights) -> Iterator[Problem]:
    """Tensors that only one of two models has, or that differ in shape."""
    for name in [*weights.specs, *(n for n in tuned.specs if n not in weights.specs)]:
        ours, theirs = weights.specs.get(name), tuned.specs.get(name)
        if theirs is None:
            yield Problem(other, None, name, "no such tensor", f"one as in {base}")
        elif ours is None:
            yield Problem(other, None, name, "a tensor", f"none, as in {base}")
        elif ours.shape != theirs.shape:
            expected = f"{list(ours.shape)} as in {base}"
            yield Problem(other, None, name, f"shape {list(theirs.shape)}", expected)


def _config_differences(
    base: str, config: PreTrainedConfig, other: str, theirs: PreTrainedConfig
) -> Iterator[Problem]:
    ours, tuned = config.get_text_config(), theirs.get_text_config()
    for key in SAME:
        expected, found = config_value(ours, key), config_value(tuned, key)
        if expected != found:
            yield Problem(other, None, f"config.{key}", repr(found), f"{expected!r} as in {base}")
