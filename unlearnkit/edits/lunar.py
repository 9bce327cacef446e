"""Activations of what is to be forgotten, redirected by one layer's weight (LUNAR)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.data.example import Example
from unlearnkit.edits.matching import Base, config_problems, name_of, refuse
from unlearnkit.edits.output import (
    RECORD,
    copy_companions,
    new_folder,
    refuse_existing,
    write_json,
    write_weights,
)
from unlearnkit.edits.weights import open_weights
from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.functional.lunar import redirection
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import load_config, load_model

Rows = Sequence[Example]


@dataclass
class Seen:
    """What a layer saw of some prompts.

    Args:
        total: ``[I]`` sum of its inputs over all tokens, float64.
        gram: ``[I, I]`` sum of their outer products.
        tokens: How many there were.
        state: ``[H]`` mean output of its block at the last prompt tokens, float64.
    """

    total: Tensor
    gram: Tensor
    tokens: int
    state: Tensor


def lunar_model(
    base: Base,
    forget: Rows,
    retain: Rows,
    refused: Rows,
    out: str | Path,
    *,
    layer: int,
    coefficient: float = 2.0,
    retain_weight: float = 1.0,
    ridge: float = 0.0,
    responses: bool = False,
    module: str = "mlp.down_proj",
) -> Path:
    """Writes the model that takes prompts to be forgotten for prompts that it cannot answer.

    The direction is the mean state after the block at the last token of the refused prompts, less
    that of the forget prompts. One weight is changed, by the closed form of `redirection`: at every
    token of a forget row the module is to add ``coefficient`` times the direction to its output, at
    every token of a retain row nothing.

    Args:
        base: Any model that a recipe can name, with weights of its own.
        forget: Rows to be redirected.
        retain: Rows that are to stay as they are.
        refused: Rows whose prompts the model declines, or knows nothing about.
        out: The folder to write; it must not exist or be empty.
        layer: The decoder block, from 0.
        coefficient: Factor of the direction.
        retain_weight: Weight of a retain token against a forget token.
        ridge: Penalty of the change, as a part of the mean square of the module's inputs.
        responses: Redirect at the tokens that predict the responses too, and keep the retain rows
            there; the authors take those of the prompts alone.
        module: The linear layer in the block that is changed.

    Returns:
        ``out``. ``edit.json`` in it says how near the regression came to its targets.

    Raises:
        UserError: If an option is out of range, a row is longer than the model's positions, the
            block has no such linear layer, weights are quantised or have other names on disk, the
            refused prompts are the forget prompts, or ``out`` exists.

    References:
        Shen et al. 2025 (LUNAR), arXiv 2502.07218, whose default for Llama-3-8B is block 22 of 32
        and coefficient 2.
    """
    target = Path(out)
    refuse_existing(target)
    numbers = {"coefficient": coefficient, "retain_weight": retain_weight, "ridge": ridge}
    _check(base, layer, numbers, {"forget": forget, "retain": retain, "refuse": refused})
    named = BaseModel(base) if isinstance(base, str) else base
    try:
        weights = open_weights(named)
        model = load_model(BaseModel(named.path, revision=named.revision))
    except RecipeError as error:
        message = error.message.removeprefix("model.base: ")
        raise UserError(message, title="edit", hint=error.hint) from error
    name, linear = _linear(model, layer, module)
    if name not in weights.specs:
        raise UserError(
            f"{name_of(base)}: its files have no tensor {name}",
            hint="They name weights in another way: load the model and save it with transformers.",
        )
    kinds = {"forget": forget, "retain": retain, "refused": refused}
    seen = {kind: _seen(model, layer, linear, rows, responses) for kind, rows in kinds.items()}
    on_forget, on_retain = seen["forget"], seen["retain"]
    direction = seen["refused"].state - on_forget.state
    if not direction.any():
        raise UserError(
            "--refuse: these prompts give the same states as those of --forget, so that there is "
            "no direction from one to the other",
            hint="Give prompts that the model declines.",
        )
    gram = on_forget.gram + retain_weight * on_retain.gram
    row = redirection(on_forget.total, gram, ridge * float(gram.diagonal().mean()))

    def make(each: str) -> Tensor:
        found, dtype = weights.rows(each), weights.specs[each].dtype
        if each != name:
            return found.to(dtype)
        edited = (found.double() + coefficient * torch.outer(direction, row)).to(dtype)
        if not torch.isfinite(edited).all():
            raise UserError(f"{each}: a weight overflows {dtype}",
                            hint="Give a smaller --coefficient, or a --ridge.")  # fmt: skip
        return edited

    with new_folder(target) as folder:
        copy_companions(weights.folders, folder)
        load_tokenizer(named).save_pretrained(folder)
        write_weights(folder, weights.specs, make)
        record = {
            "edit": "lunar", "layer": layer, "module": module, **numbers, "responses": responses,
            "base": {"name": name_of(base), "fingerprint": model_fingerprint(base)},
            "tokens": {kind: each.tokens for kind, each in seen.items()},
            "direction_norm": float(direction.norm()),
            "moved": _shares(row, on_forget, on_retain),
        }  # fmt: skip
        write_json(folder / RECORD, record)
    return target


def _shares(row: Tensor, forget: Seen, retain: Seen) -> dict[str, float]:
    """Root mean square over tokens of how far each kind moved, in units of the wanted step."""
    return {
        kind: math.sqrt(max(float(row @ each.gram @ row) / each.tokens, 0.0))
        for kind, each in (("forget", forget), ("retain", retain))
    }


@torch.no_grad()
def _seen(model: Any, layer: int, linear: nn.Linear, rows: Rows, responses: bool) -> Seen:
    width, last = linear.in_features, 0
    seen = Seen(
        torch.zeros(width, dtype=torch.float64),
        torch.zeros(width, width, dtype=torch.float64),
        0,
        torch.zeros(linear.out_features, dtype=torch.float64),
    )

    def at_input(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
        inputs = given[0].flatten(0, -2).double()
        seen.total += inputs.sum(0)
        seen.gram += inputs.T @ inputs
        seen.tokens += len(inputs)

    def at_output(_module: nn.Module, _given: object, output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output
        seen.state += states[0, last].double() / len(rows)

    before = linear.register_forward_pre_hook(at_input)
    after = decoder_blocks(model)[layer].register_forward_hook(at_output)
    try:
        for row in rows:
            # The last response token predicts nothing.
            ids = (*row.prompt_ids, *row.response_ids[:-1]) if responses else row.prompt_ids
            last = len(row.prompt_ids) - 1
            model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    finally:
        before.remove()
        after.remove()
    return seen


def _linear(model: Any, layer: int, module: str) -> tuple[str, nn.Linear]:
    """The layer that is changed, and the name of its weight."""
    block = decoder_blocks(model)[layer]
    own = {name: each for name, each in block.named_modules() if isinstance(each, nn.Linear)}
    hidden = model.config.get_text_config().hidden_size
    fitting = {name: each for name, each in own.items() if each.out_features == hidden}
    if module not in fitting:
        raise UserError(
            f"--module: block {layer} has no linear layer '{module}' that gives hidden states",
            hint=f"It has {', '.join(fitting) or 'none'}.",
        )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return names[id(own[module].weight)], own[module]


def _check(base: Base, layer: int, numbers: dict[str, float], prompts: dict[str, Rows]) -> None:
    refuse(list(config_problems(base, [])), "Activations are redirected in float weights.")
    text = load_config(base).get_text_config()
    blocks, longest = text.num_hidden_layers, getattr(text, "max_position_embeddings", None)
    wrong = [] if 0 <= layer < blocks else [f"--layer: expected 0 to {blocks - 1}, found {layer}"]
    for name, value in numbers.items():
        least = "" if name == "coefficient" else " of at least 0"
        if not math.isfinite(value) or (least and value < 0):
            wrong.append(f"--{name}: expected a finite number{least}, found {value}")
    wrong += [f"--{name}: expected at least one row" for name, rows in prompts.items() if not rows]
    for row in (each for rows in prompts.values() for each in rows):
        if longest and (found := len(row.prompt_ids) + len(row.response_ids)) > longest:
            wrong.append(f"{row.source}: expected at most {longest} tokens, found {found}")
    if wrong:
        raise UserError("\n".join(wrong))
