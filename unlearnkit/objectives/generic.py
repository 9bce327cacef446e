"""Objective on labels that stand in a file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import DataError, Problem, RecipeError, UserError
from unlearnkit.functional.core import log_probabilities
from unlearnkit.objectives.reduction import Reduction, TokenObjective

_HINT = "Write them anew, for the rows and the tokenizer of this recipe: unlearnkit edit whp_labels"

Labels = dict[tuple[int, int], tuple[list[int], list[int]]]
"""Tokens and labels, -1 where a token has none, by row and number of tokens."""


class GenericLabels(TokenObjective, name="generic_labels"):
    r"""Teaches other tokens in the place of the forget rows': Who's Harry Potter's finetuning.

    $$-\frac{1}{N} \sum_t \log p_\theta(\ell_t)$$

    with $\ell_t$ the label of token $t$, which the model predicts behind the row's own tokens. A
    token without a label adds 0 and is counted in $N$.

    Args:
        path: File of labels that ``unlearnkit edit whp_labels`` wrote for these rows; a run needs
            one, and without it labels are the rows' own tokens. Of one row it holds at most one
            response of each length.
        weight: Factor of the loss in the total, at least 0.
        stream: Name of the stream it reads.
        reduction: ``token_mean`` (default), ``sequence_mean`` or ``sequence_sum``.

    Raises:
        DataError: If there is no such file, or with every line that is not of that form.

    References:
        Eldan and Russinovich 2023, "Who's Harry Potter?", arXiv 2310.02238, section 2.3.
    """

    needs = frozenset({"logits"})
    paper = "Eldan and Russinovich 2023, arXiv 2310.02238"

    def __init__(
        self,
        path: str | None = None,
        weight: float = 1.0,
        stream: str | None = None,
        reduction: Reduction | None = None,
    ) -> None:
        super().__init__(weight, stream, reduction)
        self.path = path
        self.labels = None if path is None else read_labels(path)

    def attach(self, policy: nn.Module) -> None:
        """Refuses a run without labels, which would learn its forget rows.

        Raises:
            RecipeError: If there is no path.
        """
        if self.path is None:
            raise RecipeError("generic_labels: path is missing, the file of labels", hint=_HINT)

    def token_losses(self, view: StreamView) -> Tensor:
        """``[N]`` negated log-probabilities of the labels."""
        target = view.target if self.labels is None else self._of(view, self.labels)
        logps = log_probabilities(view.logits)
        chosen = logps.gather(-1, target.clamp(min=0)[:, None])[:, 0]
        return torch.where(target >= 0, -chosen, 0.0)

    def _of(self, view: StreamView, labels: Labels) -> Tensor:
        """``[N]`` labels of the tokens; found by row and length, which the host knows."""
        tokens: list[int] = []
        found: list[int] = []
        for row, length in zip(view.rows, view.counts, strict=True):
            if (row, length) not in labels:
                raise self._unlike(f"row {row} of the stream '{self.stream}'")
            own, label = labels[row, length]
            tokens += own
            found += label
        both = torch.tensor([tokens, found]).to(view.target.device, non_blocking=True)
        same = (view.target == both[0]).all()
        try:
            # Of a GPU the error comes with the next wait, and costs none of its own.
            torch.ops.aten._assert_async.msg(same, f"{self.path} is not of these rows")
        except RuntimeError as error:
            raise self._unlike(f"a row of the stream '{self.stream}'") from error
        return both[1]

    def _unlike(self, what: str) -> UserError:
        return UserError(
            f"{self.path} has no labels for {what} as it is tokenised here.", hint=_HINT
        )


def read_labels(path: str) -> Labels:
    """Reads a file of labels.

    Raises:
        DataError: If there is none, or with every line of another form.
    """
    file = Path(path)
    if not file.is_file():
        file = Path(str(resources.files("unlearnkit") / path))
    if not file.is_file():
        raise DataError([Problem(path, None, None, "no such file", "labels")], hint=_HINT)
    problems: list[Problem] = []
    found = Labels()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        row, tokens, labels = _parts(line)
        ids = _are_ids(tokens) and _are_ids(labels, or_none=True)
        if not (isinstance(row, int) and ids and len(tokens) == len(labels)):
            expected = "`row`, and as many `labels` as `tokens`"
            problems.append(Problem(path, number, None, "something else", expected))
            continue
        before, _ = found.setdefault((row, len(tokens)), (tokens, []))
        if before != tokens:
            said = f"another response of row {row} with {len(tokens)} tokens"
            problems.append(Problem(path, number, "tokens", said, "one of each length in a row"))
        found[row, len(tokens)] = (tokens, [-1 if each is None else each for each in labels])
    if problems:
        raise DataError(problems, hint=_HINT)
    return found


def _parts(line: str) -> tuple[Any, Any, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        return None, None, None
    if not isinstance(fields, dict):
        return None, None, None
    return fields.get("row"), fields.get("tokens"), fields.get("labels")


def _are_ids(values: Any, or_none: bool = False) -> bool:
    return isinstance(values, list) and all(
        (isinstance(each, int) and each >= 0) or (or_none and each is None) for each in values
    )
