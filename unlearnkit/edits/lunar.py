"""LUNAR: redirects activations of the forget set by one weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.data.example import Example
from unlearnkit.edits.base import Edit, Model, Rows, as_edit, as_model
from unlearnkit.edits.matching import config_problems, refuse
from unlearnkit.edits.output import RECORD, copy_companions, write_weights
from unlearnkit.edits.rows import Columns, read_rows
from unlearnkit.edits.weights import on_meta, open_weights
from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.functional.lunar import descended, redirection
from unlearnkit.models.base import BaseModel, load_tokenizer, reading
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import load_config, load_model

CLOSED, TRAINING = ("retain_weight", "ridge"), ("lr", "batch_size", "seed")
LEAST = {"retain_weight": 0, "ridge": 0, "epochs": 0, "lr": 0, "batch_size": 1, "seed": 0}


@dataclass
class Seen:
    """Statistics of a linear layer's inputs over some prompts.

    Args:
        total: ``[I]`` sum of its inputs over all tokens, float64.
        gram: ``[I, I]`` sum of their outer products.
        tokens: How many there were.
        state: ``[H]`` mean output of its block at the last prompt tokens, float64.
        inputs: The inputs themselves, ``[tokens, I]`` a row, where they are asked for.
    """

    total: Tensor
    gram: Tensor
    tokens: int
    state: Tensor
    inputs: list[Tensor] = field(default_factory=list)


class Lunar(Edit, name="lunar"):
    """Redirect a decoder block's activations to those of prompts that the model refuses (LUNAR).

    Experimental. The change of one weight, in closed form or trained as published; what is written
    is an ordinary model.

    The direction is the mean state after the block at the last token of the refused prompts, less
    that of the forget prompts. By the closed form of `redirection` the module is to add
    ``coefficient`` times the direction to its output at every token of a forget row, and nothing at
    every token of a retain row. With ``epochs`` the weight is trained to that by `descended`.

    Args:
        base: Run folder, model or adapter folder, hub id, or an embedded model such as tiny.
        forget: File of the rows to be redirected, or the id of a data set, as of a stream qa.
        retain: File of the rows that are to stay as they are, with the same columns.
        refuse: File of rows whose prompts the model declines, or knows nothing about.
        layer: Decoder block, from 0; the authors take block 22 of 32.
        coefficient: Factor of the direction from forget prompts to those.
        retain_weight: Weight of a retain token against a forget token.
        ridge: Penalty of the change, as a part of the mean square of the layer's inputs.
        responses: Count the tokens that predict the responses too, not those of the prompts alone.
        module: Linear layer of the block that is changed.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as of a stream qa.
        epochs: Train the weight so long, as the authors do (20); 0 is the closed form. All of the
            layer's inputs are in memory then.
        lr: Rate of AdamW in the first epoch.
        batch_size: Tokens of a step.
        seed: Of the order of tokens.

    References:
        Shen et al. 2025 (LUNAR), arXiv 2502.07218, whose default for Llama-3-8B is block 22 of 32
        and coefficient 2.
    """

    def __init__(
        self,
        base: Model,
        forget: Rows,
        retain: Rows,
        refuse: Rows,
        layer: int,
        coefficient: float = 2.0,
        retain_weight: float = 1.0,
        ridge: float = 0.0,
        responses: bool = False,
        module: str = "mlp.down_proj",
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str = "{prompt}",
        epochs: int = 0,
        lr: float = 0.01,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.base = as_model(base)
        self.rows: dict[str, Rows] = {"forget": forget, "retain": retain, "refuse": refuse}
        self.columns = Columns(prompt_field, response_field, template)
        self.layer, self.module, self.responses = layer, module, responses
        self.coefficient, self.retain_weight, self.ridge = coefficient, retain_weight, ridge
        self.epochs, self.lr, self.batch_size, self.seed = epochs, lr, batch_size, seed

    @property
    def without_effect(self) -> dict[str, str]:
        """What the other way to the change reads."""
        names, how = (CLOSED, "with") if self.epochs else (TRAINING, "without")
        return dict.fromkeys(names, f"{how} --epochs")

    def write(self, out: str | Path) -> Path:
        """Writes the model; ``edit.json`` says how near the regression came to its targets.

        Raises:
            UserError: If an option is out of range, a row is longer than the model's positions, the
                block has no such linear layer, weights are quantised or have other names on disk,
                the refused prompts are the forget prompts, or ``out`` exists.
        """
        self.refuse_without_effect()
        target, base = Path(out), self.base
        refuse_occupied(target)
        rows = {kind: read_rows(base, each, self.columns) for kind, each in self.rows.items()}
        numbers = {name: getattr(self, name) for name in ("coefficient", *LEAST)}
        _check(base, self.layer, numbers, rows)
        with as_edit(), reading(base):
            weights, empty = open_weights(base), on_meta(load_config(base))
        name, _ = _linear(empty, self.layer, self.module)
        if name not in weights.specs:
            raise UserError(
                f"{base.path}: its files have no tensor {name}",
                hint="They name weights in another way: load the model and save it with "
                "transformers.",
            )
        with as_edit():
            model = load_model(BaseModel(base.path, revision=base.revision))
        _, linear = _linear(model, self.layer, self.module)
        seen = {
            kind: _seen(model, self.layer, linear, each, self.responses, keep=self.epochs > 0)
            for kind, each in rows.items()
        }
        direction = _direction(seen)
        change, row = self._change(seen, direction, linear.weight.detach())

        def make(each: str) -> Tensor:
            found, dtype = weights.rows(each), weights.specs[each].dtype
            if each != name:
                return found.to(dtype)
            edited = (found.double() + change).to(dtype)
            if not torch.isfinite(edited).all():
                raise UserError(
                    f"{each}: a weight overflows {dtype}",
                    hint="Give a smaller --coefficient, or a --ridge.",
                )
            return edited

        with whole_model_folder(target) as folder:
            copy_companions(weights.folders, folder)
            load_tokenizer(base).save_pretrained(folder)
            write_weights(folder, weights.specs, make)
            record = {
                "edit": "lunar", "layer": self.layer, "module": self.module, **numbers,
                "responses": self.responses,
                "base": {"name": base.path, "fingerprint": model_fingerprint(base)},
                "tokens": {
                    "forget": seen["forget"].tokens, "retain": seen["retain"].tokens,
                    "refused": seen["refuse"].tokens,
                },
                "direction_norm": float(direction.norm()),
                "moved": _shares(row, seen["forget"], seen["retain"]),
            }  # fmt: skip
            write_json(folder / RECORD, record)
        return target

    def _change(
        self, seen: dict[str, Seen], direction: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``[H, I]`` change of the weight, and ``[I]`` what of the inputs it redirects."""
        forget, retain = seen["forget"], seen["retain"]
        if self.epochs:
            step = self.coefficient * direction
            moved, kept = torch.cat(forget.inputs), torch.cat(retain.inputs)
            training: dict[str, Any] = {name: getattr(self, name) for name in TRAINING}
            after = descended(weight, moved, kept, step, self.epochs, **training)
            change = after.double() - weight.double()
            return change, change.T @ step / step.dot(step) if step.any() else change[0] * 0
        gram = forget.gram + self.retain_weight * retain.gram
        row = redirection(forget.total, gram, self.ridge * float(gram.diagonal().mean()))
        return self.coefficient * torch.outer(direction, row), row


def _direction(seen: dict[str, Seen]) -> Tensor:
    """``[H]`` from the states of the forget prompts to those of the refused ones."""
    direction = seen["refuse"].state - seen["forget"].state
    if not direction.any():
        raise UserError(
            "--refuse: these prompts give the same states as those of --forget, so that there "
            "is no direction from one to the other",
            hint="Give prompts that the model declines.",
        )
    return direction


def _shares(row: Tensor, forget: Seen, retain: Seen) -> dict[str, float]:
    """Root mean square over tokens of how far each kind moved, in units of the wanted step."""
    return {
        kind: math.sqrt(max(float(row @ each.gram @ row) / each.tokens, 0.0))
        for kind, each in (("forget", forget), ("retain", retain))
    }


@torch.no_grad()
def _seen(
    model: Any,
    layer: int,
    linear: nn.Linear,
    rows: Sequence[Example],
    responses: bool,
    keep: bool = False,
) -> Seen:
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
        if keep:
            seen.inputs.append(given[0].flatten(0, -2).float())

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


def _check(
    base: BaseModel, layer: int, numbers: dict[str, float], prompts: dict[str, list[Example]]
) -> None:
    refuse(list(config_problems(base, [])), "Activations are redirected in float weights.")
    text = load_config(base).get_text_config()
    blocks, longest = text.num_hidden_layers, getattr(text, "max_position_embeddings", None)
    wrong = [] if 0 <= layer < blocks else [f"--layer: expected 0 to {blocks - 1}, found {layer}"]
    for name, value in numbers.items():
        least = LEAST.get(name)
        if not math.isfinite(value) or (least is not None and value < least):
            above = "" if least is None else f" of at least {least}"
            wrong.append(f"--{name}: expected a finite number{above}, found {value}")
    wrong += [f"--{name}: expected at least one row" for name, rows in prompts.items() if not rows]
    for row in (each for rows in prompts.values() for each in rows):
        if longest and (found := len(row.prompt_ids) + len(row.response_ids)) > longest:
            wrong.append(f"{row.source}: expected at most {longest} tokens, found {found}")
    if wrong:
        raise UserError("\n".join(wrong))
