"""Trains the classifier of prompts that ECO asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from unlearnkit.edits.base import Edit, Model, Rows, as_edit, as_model
from unlearnkit.edits.eco.training import Schedule, finetune, new_classifier
from unlearnkit.edits.rows import Columns, read_rows
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.composite.classifiers import bare, longest, tokens_of
from unlearnkit.models.digests import whole_model_folder

RECORD = "classifier.json"
LABELS = ("retain", "forget")


class EcoClassifier(Edit, name="eco_classifier"):
    """Train a classifier of prompts for ECO: edit eco --classifier OUT.

    It trains an encoder, all of its weights, to tell prompts to forget from others, and keeps the
    checkpoint that misses the fewest of the former. ``classifier.json`` has what each missed.

    Args:
        encoder: Folder or hub id of an encoder, such as roberta-base, or of a causal model.
        base: The model whose prompts are to be told apart; its tokenizer reads the rows.
        forget: File of rows whose prompts are to be found, or the id of a data set, as of a
            stream qa.
        retain: File of rows whose prompts are not, with the same columns.
        check: File of further rows to find, by which checkpoints are told apart; by default forget.
        threshold: Prompts with a greater probability count as found.
        epochs: Passes over the rows.
        lr: Rate of AdamW at the end of the warm-up, from where it falls to 0 by a cosine.
        batch_size: Prompts of a step.
        warmup: Part of the steps in which the rate rises from 0.
        weight_decay: Of all matrices.
        every: Steps from one checkpoint to the next; the last step is one too.
        seed: Of the new head, order and dropout.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as of a stream qa; the classifier does not see it.

    References:
        Liu et al. 2024 (ECO), arXiv 2406.07933: the defaults are those of its code, with
        roberta-base; a class weighs as much as it is rarer.
    """

    def __init__(
        self,
        encoder: str,
        base: Model,
        forget: Rows,
        retain: Rows,
        check: Rows | None = None,
        threshold: float = 0.99,
        epochs: int = 30,
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
        if not 0 <= threshold < 1:
            raise UserError(f"--threshold: expected 0 to below 1, found {threshold}")
        self.encoder, self.base = as_model(encoder), as_model(base)
        self.rows = {"forget": forget, "retain": retain, "check": check or forget}
        self.columns = Columns(prompt_field, response_field, template)
        self.threshold, self.seed = threshold, seed
        self.checkpoints: list[dict[str, int]] = []
        """What each checkpoint missed of the rows to find, and took of the others."""

    @property
    def kept(self) -> dict[str, int]:
        """The checkpoint that is written."""
        return min(self.checkpoints, key=lambda each: each["missed"])

    @property
    def remark(self) -> str:
        """What the kept checkpoint gets wrong."""
        if not self.checkpoints:
            return ""
        kept, last = self.kept, self.checkpoints[-1]["step"]
        return (
            f"step {kept['step']} of {last}: {kept['missed']} prompts to forget missed, "
            f"{kept['taken']} others taken for such."
        )

    def write(self, out: str | Path) -> Path:
        """Writes the classifier with its tokenizer.

        Raises:
            UserError: If the encoder is none, rows are bad, or ``out`` exists.
        """
        target = Path(out)
        refuse_occupied(target)
        texts = {kind: self._texts(rows) for kind, rows in self.rows.items()}
        with torch.random.fork_rng(), as_edit():
            torch.manual_seed(self.seed)
            model, tokenizer = new_classifier(
                AutoModelForSequenceClassification, self.encoder, LABELS
            )
            self._train(model, tokenizer, texts)
        with whole_model_folder(target) as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            record = {"threshold": self.threshold, "kept": self.kept["step"]}
            write_json(folder / RECORD, {**record, "checkpoints": self.checkpoints})
        return target

    def _texts(self, rows: Rows) -> list[str]:
        """Prompts as the classifier will read them."""
        read: Any = load_tokenizer(self.base)
        around = around_of(self.columns.template)
        return [
            bare(read.decode(list(each.prompt_ids), skip_special_tokens=True), *around)
            for each in read_rows(self.base, rows, self.columns)
        ]

    def _train(self, model: Any, tokenizer: Any, texts: dict[str, list[str]]) -> None:
        rows = [*texts["retain"], *texts["forget"]]
        kinds = torch.tensor([0] * len(texts["retain"]) + [1] * len(texts["forget"]))
        weight = len(rows) / torch.bincount(kinds, minlength=2)

        def loss(numbers: list[int]) -> Tensor:
            logits = model(
                **tokens_of(tokenizer, [rows[i] for i in numbers], longest(model))
            ).logits
            return nn.functional.cross_entropy(logits.float(), kinds[numbers], weight=weight)

        def judge() -> dict[str, int]:
            missed = ~self._found(model, tokenizer, texts["check"])
            taken = self._found(model, tokenizer, texts["retain"])
            return {"missed": int(missed.sum()), "taken": int(taken.sum())}

        self.checkpoints = finetune(model, len(rows), loss, judge, self.schedule)

    @torch.no_grad()
    def _found(self, model: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
        batches = [texts[first : first + 64] for first in range(0, len(texts), 64)]
        logits = [
            model(**tokens_of(tokenizer, each, longest(model))).logits.float() for each in batches
        ]
        return torch.cat(logits).softmax(-1)[:, 1] > self.threshold


def around_of(template: str) -> tuple[str, str]:
    r"""Text before and after the prompt in a template.

    Example:
        >>> around_of("Question: {prompt}\nAnswer: {response}")
        ('Question: ', '\nAnswer: ')
    """
    before, _, after = template.partition("{prompt}")
    return before, after.partition("{response}")[0]
