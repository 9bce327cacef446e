"""In-context unlearning: rows to forget with other answers, before every prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from unlearnkit.data.example import Example
from unlearnkit.edits.base import Edit, Model, Rows, as_edit, as_model
from unlearnkit.edits.in_context import joined
from unlearnkit.edits.output import copy_generation_config
from unlearnkit.edits.rows import Columns, read_rows
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.composite.in_context_folder import describe_context
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.load import load_config

RECORD = "icul.json"


class InContextUnlearning(Edit, name="icul"):
    """Put forget rows with other answers, and kept rows with theirs, before every prompt (ICUL).

    Experimental. The weights stay as they are, and so does what they know: whoever has the folder
    can ask the base. A model of many forget rows has a long prompt.

    Args:
        base: The model, left as it is. It is pointed at, and must stay where it is.
        forget: File of the rows to forget, or the id of a data set, as of a stream qa.
        retain: File of rows that are to stay, with the same columns.
        kept: Rows of it that stand behind the forget rows, with their own answers.
        seed: Of the choice of rows, and of the other answers: responses of kept rows.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as of a stream qa.
        separator: Text after each row.

    References:
        Pawelczyk, Neel, Lakkaraju 2023, "In-context unlearning: Language models as few-shot
        unlearners", arXiv 2310.07579; their labels are classes, which are flipped.
    """

    def __init__(
        self,
        base: Model,
        forget: Rows,
        retain: Rows,
        kept: int = 4,
        seed: int = 0,
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str = "{prompt}",
        separator: str = "\n\n",
    ) -> None:
        self.base, self.forget, self.retain = as_model(base), forget, retain
        self.columns = Columns(prompt_field, response_field, template)
        self.kept, self.seed, self.separator = kept, seed, separator

    def write(self, out: str | Path) -> Path:
        """Writes the model; ``icul.json`` in it has the rows that are read.

        Raises:
            UserError: If an option is out of range, the rows do not fit into the base's positions,
                there is no other answer to a row, or ``out`` exists.
        """
        target = Path(out)
        refuse_occupied(target)
        forget = read_rows(self.base, self.forget, self.columns)
        retain = read_rows(self.base, self.retain, self.columns)
        if not 0 <= self.kept <= len(retain):
            raise UserError(f"--kept: expected 0 to {len(retain)} (rows), found {self.kept}")
        shown = context_rows(forget, retain, self.kept, self.seed)
        with as_edit():
            tokenizer = load_tokenizer(self.base)
            context, begins_with = joined(shown, tokenizer, self.separator)
            config = load_config(self.base)
            described = describe_context(self.base, config, context, begins_with)
            described.made = "icul"
            with whole_model_folder(target) as folder:
                tokenizer.save_pretrained(folder)
                copy_generation_config(self.base, folder)
                described.save_pretrained(folder)
                texts = [tokenizer.decode([*e.prompt_ids, *e.response_ids]) for e in shown]
                rows = [
                    {"source": e.source, "text": text} for e, text in zip(shown, texts, strict=True)
                ]
                record = {"forget": len(forget), "kept": self.kept, "seed": self.seed}
                write_json(folder / RECORD, {**record, "separator": self.separator, "rows": rows})
        return target


def context_rows(
    forget: Sequence[Example], retain: Sequence[Example], kept: int, seed: int
) -> list[Example]:
    """The forget rows, each with another row's response, and then kept rows with their own.

    Args:
        forget: Rows to forget.
        retain: Rows that are to stay.
        kept: How many of them follow.
        seed: Of the draws.

    Raises:
        UserError: If all kept rows have a forget row's own response.

    Example:
        >>> forget, retain = Example((1,), (2,), 0, "f:1"), Example((3,), (4,), 0, "r:1")
        >>> [each.response_ids for each in context_rows([forget], [retain], 1, seed=0)]
        [(4,), (4,)]
    """
    draw = random.Random(seed)
    found: list[Example] = []
    for each in forget:
        others = [row.response_ids for row in retain if row.response_ids != each.response_ids]
        if not others:
            raise UserError(
                f"{each.source}: no retain row has another response than this one",
                hint="Give --retain a file with other answers.",
            )
        found.append(each._replace(response_ids=draw.choice(others)))
    return [*found, *draw.sample(list(retain), kept)]
