"""Examples in a prompt that can be taken out again exactly (ERASE), as a model folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.edits.output import copy_generation_config, new_folder, refuse_existing, write_json
from unlearnkit.errors import Problem, RecipeError, UserError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.composite.encoder import load_encoder, own_states, states_of
from unlearnkit.models.composite.in_context import ContextConfig
from unlearnkit.models.composite.in_context_folder import describe_context
from unlearnkit.models.composite.parts import load_part
from unlearnkit.models.composite.selection import Deletion, QuantisedKMeans
from unlearnkit.models.load import load_config, load_model

RECORD, EXAMPLES, INDEX = "erase.json", "examples.jsonl", "examples.index"
"""``INDEX`` is a safetensors file; its name keeps loaders of weights from taking it for some."""


class Kept(NamedTuple):
    """An example as the folder keeps it."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    source: str

    def key(self, seed: int) -> str:
        """What it is recognised by; the seed makes the order of keys a random one."""
        text = repr((seed, self.prompt_ids, self.response_ids))
        return hashlib.sha256(text.encode()).hexdigest()


def erase_model(
    base: str | BaseModel,
    examples: Sequence[Example],
    out: str | Path,
    *,
    k: int = 4,
    epsilon: float = 1.0,
    steps: int = 10,
    seed: int = 0,
    separator: str = "\n\n",
    encoder: str | None = None,
) -> Path:
    """Writes a model that reads ``k`` of the examples before each prompt.

    The examples are learned from in context alone, so that a row is unlearned exactly by taking
    it out of the choice: see `delete_examples`.

    Args:
        base: The model that reads them, pointed at. It must not have been trained on them.
        examples: Prompts with responses, such as the rows of a stream.
        out: The folder to write; it must not exist or be empty.
        k: Examples in the prompt.
        epsilon: Width of the lattice that centroids are rounded to; see `QuantisedKMeans`.
        steps: Of Lloyd's algorithm.
        seed: Of the first centroids and of the lattice's phases.
        separator: Text after each example, in place of the end-of-sequence token.
        encoder: A transformers encoder that embeds the examples; by default they are the mean of
            the base's own token embeddings.

    Returns:
        ``out``. ``erase.json`` in it has the options and the chosen examples.

    Raises:
        UserError: If an option is out of range, the examples do not fit into the base's positions,
            or ``out`` exists.

    References:
        Muresanu et al. 2024, "Unlearnable Algorithms for In-context Learning" (ERASE), arXiv
        2402.00751.
    """
    target = Path(out)
    refuse_existing(target)
    named = BaseModel(base) if isinstance(base, str) else base
    options = {"k": k, "epsilon": epsilon, "steps": steps, "seed": seed}
    kept = [_kept(each) for each in examples]
    with _as_edit():
        embed = _embedder(named, encoder)
        points = np.stack([embed(each) for each in kept]) if kept else np.zeros((0, 1))
        index = QuantisedKMeans(points, [each.key(seed) for each in kept], **options)
        record = {"encoder": encoder, "separator": separator, **options, "deleted": 0}
        _write(target, named, kept, index, record)
    return target


def delete_examples(model: str | Path, gone: Sequence[Example], out: str | Path) -> list[Deletion]:
    """Writes the model as it would be had some examples never been there.

    Every copy of a row goes. What is left of them is in the old folder alone; delete it.

    Args:
        model: A folder that `erase_model` or this function made.
        gone: The examples to take out.
        out: The folder to write; it must not exist or be empty.

    Returns:
        What each deletion did, one an example and copy.

    Raises:
        UserError: If ``model`` is no such folder, an example is not in it, fewer than ``k`` would
            be left, or ``out`` exists.
    """
    target, folder = Path(out), Path(model)
    refuse_existing(target)
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder}: expected a folder made by 'edit erase', found no {RECORD}")
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    kept = [Kept(*_fields(line)) for line in (folder / EXAMPLES).read_text("utf-8").splitlines()]
    options = {name: record[name] for name in ("k", "epsilon", "steps", "seed")}
    keys = [each.key(options["seed"]) for each in kept]
    wanted = [_kept(each).key(options["seed"]) for each in gone]
    known = set(keys)
    missing = [
        Problem(*_place(each.source), None, "a row that is no example", f"one of {folder}")
        for each, key in zip(gone, wanted, strict=True)
        if key not in known
    ]
    if missing:
        raise UserError("\n".join(map(str, missing)))
    index = QuantisedKMeans.load(folder / INDEX, keys, **options)
    done: list[Deletion] = []
    for key in dict.fromkeys(wanted):
        while key in index.keys:
            at = index.keys.index(key)
            done.append(index.delete(at))
            kept.pop(at)
    config = ContextConfig.from_pretrained(folder)
    with _as_edit():
        base = load_part(config, "base", BaseModel(str(folder)), "erase", lambda part: part)
        _write(target, base, kept, index, {**record, "deleted": record["deleted"] + len(done)})
    return done


def _write(
    target: Path, base: BaseModel, kept: list[Kept], index: QuantisedKMeans, record: dict[str, Any]
) -> None:
    tokenizer = load_tokenizer(base)
    chosen = [kept[i] for i in index.selected]
    context, begins_with = _context(chosen, tokenizer, record["separator"])
    described = describe_context(base, load_config(base), context, begins_with)
    with new_folder(target) as folder:
        tokenizer.save_pretrained(folder)
        copy_generation_config(base, folder)
        described.save_pretrained(folder)
        index.save(folder / INDEX)
        lines = [json.dumps(each._asdict(), ensure_ascii=False) for each in kept]
        (folder / EXAMPLES).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        shown = [
            {"source": e.source, "text": tokenizer.decode([*e.prompt_ids, *e.response_ids])}
            for e in chosen
        ]
        tokens = len(context) + (begins_with is not None)
        write_json(
            folder / RECORD,
            {**record, "examples": len(kept), "context_tokens": tokens, "chosen": shown},
        )


def _context(
    chosen: Sequence[Kept], tokenizer: Any, separator: str
) -> tuple[list[int], int | None]:
    """Token ids of the examples one after the other, and the token that the text begins with."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    between: list[int] = tokenizer(separator, add_special_tokens=False).input_ids
    ids: list[int] = []
    begins = False
    for each in chosen:
        prompt, response = list(each.prompt_ids), list(each.response_ids)
        if begin is not None and prompt[0] == begin:
            begins = True
            prompt = prompt[1:]
        if separator and response[-1] == end:
            response = response[:-1]
        ids += prompt + response + between
    return ids, begin if begins else None


def _embedder(base: BaseModel, encoder: str | None) -> Callable[[Kept], Any]:
    """Embeds one example by itself, so that the others play no part in it."""
    encode: Callable[..., Tensor]
    if encoder is None:
        layers, encode = 1, partial(own_states, load_model(BaseModel(base.path, dtype="auto")))
    else:
        layers, encode = states_of(encoder), load_encoder(encoder, load_tokenizer(base))

    def embed(each: Kept) -> Any:
        ids = torch.tensor([[*each.prompt_ids, *each.response_ids]])
        with torch.no_grad():
            return encode(ids, torch.ones_like(ids), layers)[0, -1].double().numpy()

    return embed


def _kept(example: Example) -> Kept:
    return Kept(example.prompt_ids, example.response_ids, example.source)


def _fields(line: str) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    found = json.loads(line)
    return tuple(found["prompt_ids"]), tuple(found["response_ids"]), found["source"]


def _place(source: str) -> tuple[str, int | None]:
    file, _, line = source.rpartition(":")
    return (file, int(line)) if line.isdigit() else (source, None)


@contextmanager
def _as_edit() -> Iterator[None]:
    try:
        yield
    except RecipeError as error:
        message = error.message.removeprefix("model.base: ")
        raise UserError(message, title="edit", hint=error.hint) from error
