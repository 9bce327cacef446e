"""ERASE: in-context examples with exact deletion, saved as a model folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.edits.base import Edit, Model, Rows, as_edit, as_model
from unlearnkit.edits.in_context import joined
from unlearnkit.edits.output import copy_generation_config
from unlearnkit.edits.rows import Columns, read_rows
from unlearnkit.errors import Problem, UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.composite.encoder import load_encoder, own_states, states_of
from unlearnkit.models.composite.in_context import ContextConfig
from unlearnkit.models.composite.in_context_folder import describe_context
from unlearnkit.models.composite.parts import load_part
from unlearnkit.models.composite.selection import Deletion, QuantisedKMeans, refuse_choice
from unlearnkit.models.digests import whole_model_folder
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


class Erase(Edit, name="erase"):
    """Put chosen rows before every prompt, so that any row can be deleted exactly (ERASE).

    Experimental. For a model that was not trained on the rows: it learns from them in context
    alone.

    Args:
        base: The model that reads the rows, left as it is. It is pointed at, and must stay where
            it is.
        examples: File of rows, or the id of a data set, as of a stream qa.
        k: Rows to choose, by quantised k-means.
        epsilon: Width of the lattice of centroids, for embeddings of length 1: the wider, the more
            deletions cost next to nothing.
        steps: Of k-means.
        seed: Of the first centroids and the lattice.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as of a stream qa.
        separator: Text after each row.
        encoder: Folder or hub id of a transformers encoder that is to embed the rows; by default
            the base's token embeddings do.

    References:
        Muresanu et al. 2024, "Unlearnable Algorithms for In-context Learning" (ERASE), arXiv
        2402.00751.
    """

    def __init__(
        self,
        base: Model,
        examples: Rows,
        k: int = 4,
        epsilon: float = 1.0,
        steps: int = 10,
        seed: int = 0,
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str = "{prompt}",
        separator: str = "\n\n",
        encoder: str | None = None,
    ) -> None:
        self.base, self.examples = as_model(base), examples
        self.columns = Columns(prompt_field, response_field, template)
        self.k, self.epsilon, self.steps, self.seed = k, epsilon, steps, seed
        self.separator, self.encoder = separator, encoder

    def write(self, out: str | Path) -> Path:
        """Writes the model; ``erase.json`` in it has the options and the chosen examples.

        Raises:
            UserError: If an option is out of range, the examples do not fit into the base's
                positions, or ``out`` exists.
        """
        target = Path(out)
        refuse_occupied(target)
        rows = read_rows(self.base, self.examples, self.columns)
        options = {
            "k": self.k, "epsilon": self.epsilon, "steps": self.steps, "seed": self.seed
        }  # fmt: skip
        kept = [_kept(each) for each in rows]
        keys = [each.key(self.seed) for each in kept]
        refuse_choice(keys, self.k, self.epsilon, self.steps)
        with as_edit():
            embed = _embedder(self.base, self.encoder)
            points = np.stack([embed(each) for each in kept]) if kept else np.zeros((0, 1))
            index = QuantisedKMeans(points, keys, **options)
            record = {"encoder": self.encoder, "separator": self.separator, **options, "deleted": 0}
            _write(target, self.base, kept, index, record)
        return target


class Delete(Edit, name="delete"):
    """Delete rows from a model that edit erase made, exactly.

    Experimental. What is written equals what edit erase would have written without those rows.
    The old folder still has them: it is yours to remove.

    Args:
        model: Folder that edit erase, or this edit, made.
        forget: File of the rows to delete; every copy of them goes.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as it was given to edit erase.
    """

    def __init__(
        self,
        model: str,
        forget: Rows,
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str = "{prompt}",
    ) -> None:
        self.model, self.forget = model, forget
        self.columns = Columns(prompt_field, response_field, template)
        self.deletions: list[Deletion] = []

    @property
    def remark(self) -> str:
        """How many rows were deleted, and where they still are."""
        anew = sum(each.refitted for each in self.deletions)
        return (
            f"{len(self.deletions)} rows deleted, {anew} of them with clusters fitted anew; "
            f"{self.model} still has them"
        )

    def write(self, out: str | Path) -> Path:
        """Writes the model without the rows; sets `deletions`, one an example and copy.

        Raises:
            UserError: If ``model`` is no such folder, an example is not in it, fewer than ``k``
                would be left, or ``out`` exists.
        """
        target, folder = Path(out), Path(self.model)
        refuse_occupied(target)
        gone = read_rows(self.model, self.forget, self.columns)
        if not (folder / RECORD).is_file():
            raise UserError(f"{folder}: expected a folder made by 'edit erase', found no {RECORD}")
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        lines = (folder / EXAMPLES).read_text("utf-8").removesuffix("\n").split("\n")
        kept = [Kept(*_fields(line)) for line in lines]
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
        self.deletions = []
        for key in dict.fromkeys(wanted):
            while key in index.keys:
                at = index.keys.index(key)
                self.deletions.append(index.delete(at))
                kept.pop(at)
        config = ContextConfig.from_pretrained(folder)
        deleted = record["deleted"] + len(self.deletions)
        with as_edit():
            base = load_part(config, "base", BaseModel(str(folder)), lambda part: part)
            _write(target, base, kept, index, {**record, "deleted": deleted})
        return target


def _write(
    target: Path, base: BaseModel, kept: list[Kept], index: QuantisedKMeans, record: dict[str, Any]
) -> None:
    tokenizer = load_tokenizer(base)
    chosen = [kept[i] for i in index.selected]
    context, begins_with = joined(chosen, tokenizer, record["separator"])
    described = describe_context(base, load_config(base), context, begins_with)
    with whole_model_folder(target) as folder:
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
