"""Trains the classifier of tokens that ECO asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForTokenClassification

from unlearnkit.data.rows.reader import read_rows as read_table
from unlearnkit.data.rows.values import check_columns
from unlearnkit.edits.base import Edit, Model, Rows, as_edit, as_model
from unlearnkit.edits.eco.training import Schedule, finetune, new_classifier
from unlearnkit.edits.rows import Columns, read_rows
from unlearnkit.errors import DataError, Problem, UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.composite.classifiers import OUTSIDE, longest, tokens_of
from unlearnkit.models.digests import whole_model_folder

RECORD = "tokens.json"
LABELS = (OUTSIDE, "TERM")
IGNORED = -100
HINT = 'A line is such as {"term": "Ada Lovelace"}.'


class EcoTokens(Edit, name="eco_tokens"):
    """Train a classifier of tokens for ECO on given terms: edit eco --tokens OUT.

    Where no model of names is at hand. An encoder, all of its weights, learns which tokens of the
    prompts are part of a term; ``tokens.json`` has how many it gets wrong.

    Args:
        encoder: Folder or hub id of an encoder, or of a causal model; its tokenizer has offsets.
        base: The model whose tokenizer reads the rows.
        rows: File of rows in whose prompts the terms stand.
        terms: File of the terms, of lines {"term": ...}.
        epochs: Passes over the rows.
        lr: Rate of AdamW at the end of the warm-up, from where it falls to 0 by a cosine.
        batch_size: Prompts of a step.
        warmup: Part of the steps in which the rate rises from 0.
        weight_decay: Of all matrices.
        every: Steps from one checkpoint to the next; the one with the fewest errors is kept.
        seed: Of the new head, order and dropout.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as of a stream qa; it is seen.

    References:
        Liu et al. 2024 (ECO), arXiv 2406.07933, take a model that is published; the schedule here
        is that of their prompt classifier, in fewer passes.
    """

    def __init__(
        self,
        encoder: str,
        base: Model,
        rows: Rows,
        terms: str,
        epochs: int = 3,
        lr: float = 2e-5,
        batch_size: int = 16,
        warmup: float = 0.1,
        weight_decay: float = 0.1,
        every: int = 1000,
        seed: int = 0,
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str = "{prompt}",
    ) -> None:
        self.schedule = Schedule(epochs, lr, batch_size, warmup, weight_decay, every)
        self.schedule.refuse()
        self.encoder, self.base = as_model(encoder), as_model(base)
        self.rows, self.terms, self.seed = rows, terms, seed
        self.columns = Columns(prompt_field, response_field, template)
        self.checkpoints: list[dict[str, int]] = []
        """How many tokens of all each checkpoint labels wrongly."""

    @property
    def remark(self) -> str:
        """What the kept checkpoint gets wrong."""
        if not self.checkpoints:
            return ""
        wrong = min(each["wrong"] for each in self.checkpoints)
        return f"{wrong} of {self.checkpoints[0]['tokens']} tokens labelled wrongly."

    def write(self, out: str | Path) -> Path:
        """Writes the classifier with its tokenizer.

        Raises:
            UserError: If the encoder is none, no term stands in a prompt, or ``out`` exists.
            DataError: With every bad line of the terms.
        """
        target = Path(out)
        refuse_occupied(target)
        terms = read_terms(self.terms)
        read: Any = load_tokenizer(self.base)
        texts = [
            read.decode(list(each.prompt_ids), skip_special_tokens=True)
            for each in read_rows(self.base, self.rows, self.columns)
        ]
        found = [places(text, terms) for text in texts]
        if not any(found):
            raise UserError(f"{self.terms}: no term stands in a prompt")
        with torch.random.fork_rng(), as_edit():
            torch.manual_seed(self.seed)
            if not load_tokenizer(self.encoder).is_fast:
                raise UserError(
                    f"--encoder: expected a tokenizer with offsets ({self.encoder.path})"
                )
            model, tokenizer = new_classifier(AutoModelForTokenClassification, self.encoder, LABELS)
            self._train(model, tokenizer, texts, found)
        with whole_model_folder(target) as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            write_json(folder / RECORD, {"checkpoints": self.checkpoints})
        return target

    def _train(
        self,
        model: Any,
        tokenizer: Any,
        texts: Sequence[str],
        found: Sequence[Sequence[tuple[int, int]]],
    ) -> None:
        def labelled(numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
            """Logits ``[N, 2]`` and labels of the tokens of some texts, padding left out."""
            given = tokens_of(
                tokenizer, [texts[i] for i in numbers], longest(model), return_offsets_mapping=True
            )
            offsets = given.pop("offset_mapping")
            labels = labels_of(offsets, [found[i] for i in numbers])
            seen = labels != IGNORED
            return model(**given).logits.float()[seen], labels[seen]

        def loss(numbers: list[int]) -> Tensor:
            return nn.functional.cross_entropy(*labelled(numbers))

        @torch.no_grad()
        def judge() -> dict[str, int]:
            wrong, tokens = 0, 0
            for first in range(0, len(texts), 64):
                logits, labels = labelled(range(first, min(first + 64, len(texts))))
                wrong += int((logits.argmax(-1) != labels).sum())
                tokens += len(labels)
            return {"wrong": wrong, "tokens": tokens}

        self.checkpoints = finetune(model, len(texts), loss, judge, self.schedule)


def places(text: str, terms: Sequence[str]) -> list[tuple[int, int]]:
    """Where terms stand in a text, as whole words.

    Example:
        >>> places("Was Ana born in Anaheim?", ["Ana"])
        [(4, 7)]
    """
    pattern = "|".join(re.escape(each) for each in sorted(terms, key=len, reverse=True))
    return [match.span() for match in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", text)]


def labels_of(offsets: Tensor, found: Sequence[Sequence[tuple[int, int]]]) -> Tensor:
    """Labels ``[B, T]`` of tokens with offsets ``[B, T, 2]``: 1 where one overlaps a term.

    Tokens without width, which are special or padding, have none.
    """
    starts, ends = offsets.unbind(-1)
    labels = torch.zeros_like(starts)
    for row, spans in enumerate(found):
        for start, end in spans:
            labels[row, (starts[row] < end) & (ends[row] > start)] = 1
    return labels.masked_fill(ends <= starts, IGNORED)


def read_terms(path: str) -> list[str]:
    """The terms of a file.

    Raises:
        DataError: If there is no such file, with every bad line, or if it has no term.
    """
    table = read_table(path)
    check_columns(table, {"terms": "term"}, HINT)
    problems, terms = list(table.problems), list[str]()
    for row in table.rows:
        value = row.fields.get("term")
        if isinstance(value, str) and value.strip():
            terms.append(value.strip())
        else:
            problems.append(
                Problem(path, row.place, "term", f"{value!r}", "a text that is not empty")
            )
    if not problems and not terms:
        problems = [Problem(path, None, None, "no row", "a term a line")]
    if problems:
        raise DataError(problems, hint=HINT)
    return terms
