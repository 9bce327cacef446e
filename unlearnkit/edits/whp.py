"""WHP: the generic prediction, and generic labels to train on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.data.anchors import Anchors, Tokens, read_anchors
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.edits.base import Edit, Model, as_edit, as_model, refuse_infinite
from unlearnkit.edits.logits import write_combined
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_occupied, whole_folder, write_rows, write_text
from unlearnkit.functional import whp_logits
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.load import load_model

LABELS, DICTIONARY = "labels.jsonl", "dictionary.jsonl"


class Whp(Edit, name="whp"):
    """Lower what further training raises: base - alpha * relu(reinforced - base).

    Args:
        base: The model, left as it is. It is pointed at, and must stay where it is.
        reinforced: The model trained further on the forget set, pointed at too.
        alpha: Factor of the raise.

    References:
        Eldan and Russinovich 2023, "Who's Harry Potter?", arXiv 2310.02238, section 2.1; see
        `unlearnkit.functional.whp_logits`.
    """

    def __init__(self, base: Model, reinforced: Model, alpha: float = 1.0) -> None:
        self.parts = {"base": base, "reinforced": reinforced}
        self.alpha = alpha

    def write(self, out: str | Path) -> Path:
        """Writes ``z = z_base − alpha·ReLU(z_reinforced − z_base)``."""
        return write_combined("whp", {"alpha": self.alpha}, self.parts, out)


class WhpLabels(Edit, name="whp_labels"):
    """Write the generic labels that Who's Harry Potter trains on; no model is made.

    The folder has labels.jsonl for the objective generic_labels, and the dictionary for review. A
    label is the likeliest token of base(translated row) less what the reinforced model raises,
    where generic expressions of terms that the row named before are lowered. A token has none
    within a term, and where a term begins again.

    Args:
        base: The model that is to forget.
        reinforced: Run folder of the model trained further on the forget rows, such as
            edits/reinforce; its forget rows are labelled.
        dictionary: File of anchor terms, of lines {"term": ..., "generic": ...}, or of a model's
            answers by `unlearnkit sample`; without one rows are not translated.
        alpha: Factor of the raise.
        lowered: What is taken from the logit of a generic expression whose term came before; by
            default all, so that it is no label. The paper lowers it and names no amount.

    References:
        Eldan and Russinovich 2023, "Who's Harry Potter?", arXiv 2310.02238, sections 2.2 and 2.3.
    """

    def __init__(
        self,
        base: Model,
        reinforced: str,
        dictionary: str | None = None,
        alpha: float = 5.0,
        lowered: float | None = None,
    ) -> None:
        refuse_infinite(alpha=alpha, lowered=lowered or 0.0)
        if lowered is not None and lowered < 0:
            raise UserError(f"--lowered: expected at least 0, found {lowered}")
        self.lowered = lowered
        self.base, self.reinforced = as_model(base), reinforced
        self.dictionary, self.alpha = dictionary, alpha
        self.rows: Sequence[Example] = ()
        self._remark = ""

    def read_runs(self, read: Callable[[str], tuple[Path, Sequence[Example]]]) -> None:
        """Takes the run's model and forget rows."""
        path, self.rows = read(self.reinforced)
        self.reinforced = str(path)

    @property
    def without_effect(self) -> dict[str, str]:
        """Expressions are a dictionary's."""
        return {} if self.dictionary is not None else {"lowered": "without --dictionary"}

    @property
    def remark(self) -> str:
        """How many tokens have a label, and how many terms were found."""
        return self._remark

    def write(self, out: str | Path) -> Path:
        """Writes labels and dictionary.

        Raises:
            UserError: If a model cannot be used, two answers of a row are the same, or ``out``
                exists.
            DataError: With every bad line of the dictionary.
        """
        self.refuse_without_effect()
        target = Path(out)
        refuse_occupied(target)
        lowered = math.inf if self.lowered is None else self.lowered
        anchors = Anchors({}) if self.dictionary is None else read_anchors(self.dictionary)
        _refuse_twins(self.rows)
        with as_edit():
            terms = anchors.tokens(Codec(load_tokenizer(self.base), max_length=2))
            base = load_model(self.base).eval()
            reinforced = load_model(BaseModel(self.reinforced)).eval()
            seen: set[int] = set()
            labelled = [
                labels_of(base, reinforced, row, terms, self.alpha, lowered, seen)
                for row in self.rows
            ]
        with whole_folder(target) as folder:
            lines = [
                {"row": row.row, "tokens": list(row.response_ids), "labels": labels}
                for row, labels in zip(self.rows, labelled, strict=True)
            ]
            write_rows(folder / LABELS, lines)
            write_text(folder / DICTIONARY, "".join(anchors.lines()))
        self._remark = _counts(self.rows, labelled, anchors, seen)
        return target


@torch.no_grad()
def labels_of(
    base: nn.Module,
    reinforced: nn.Module,
    row: Example,
    terms: Tokens,
    alpha: float,
    lowered: float = math.inf,
    seen: set[int] | None = None,
) -> list[int | None]:
    """The generic label of each response token, None where it has none.

    Args:
        base: The model as it is.
        reinforced: The model trained further on the rows.
        row: A prompt and its response.
        terms: The dictionary.
        alpha: Factor of what the reinforced model raises.
        lowered: What is taken from the logits of expressions whose terms came before.
        seen: Takes the numbers of the terms that stand in the row.
    """
    ids = [*row.prompt_ids, *row.response_ids]
    translated = terms.translate(ids)
    generic, raised = _logits(base, translated.ids), _logits(reinforced, ids)
    found: list[int | None] = []
    for token in range(len(row.prompt_ids), len(ids)):
        place = translated.place[token - 1]
        before = {number for start, number in translated.starts.items() if start < token}
        if place is None or translated.starts.get(token) in before:
            found.append(None)
            continue
        logits = whp_logits(generic[place], raised[token - 1], alpha)
        named = sorted({first for number in before for first in terms.generic[number]})
        logits[named] -= lowered
        found.append(int(logits.argmax()))
    if seen is not None:
        seen.update(translated.starts.values())
    return found


def _logits(model: nn.Module, ids: Sequence[int]) -> Tensor:
    weight: Any = next(model.parameters())
    return model(input_ids=torch.tensor([list(ids)], device=weight.device)).logits[0]


def _refuse_twins(rows: Sequence[Example]) -> None:
    known: set[tuple[int, tuple[int, ...]]] = set()
    for row in rows:
        if (key := (row.row, row.response_ids)) in known:
            raise UserError(
                f"{row.source}: the row has the same response twice, and labels are told apart by "
                "row and response",
                hint="Reinforce on one wording of the prompts.",
            )
        known.add(key)


def _counts(
    rows: Sequence[Example],
    labelled: Sequence[list[int | None]],
    anchors: Anchors,
    seen: set[int],
) -> str:
    pairs = [
        pair
        for row, own in zip(rows, labelled, strict=True)
        for pair in zip(row.response_ids, own, strict=True)
    ]
    given = [(token, label) for token, label in pairs if label is not None]
    other = sum(token != label for token, label in given)
    words = f"{len(given)} of {len(pairs)} tokens have a label, {other} of them another token"
    lacking = [term for number, term in enumerate(anchors.terms) if number not in seen]
    words += f"; {len(seen)} of {len(anchors.terms)} terms stand in the rows"
    return words + (f" (not: {', '.join(lacking[:5])})." if lacking else ".")
