"""Can an attacker tell that the model was trained on the forget texts?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.engine.scoring import gradient_norms, score
from unlearnkit.errors import RecipeError
from unlearnkit.functional import membership, truth
from unlearnkit.suites.base import Better, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.continuations import text_of
from unlearnkit.suites.digest import by_stream, digest
from unlearnkit.suites.probes import Source, chosen_sources, read_probes, stream_names

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

_NAMES = {"forget": "forget", "holdout": "heldout"}
_NO_GOLD = "no gold model: one that was trained without the forget rows"

ALWAYS_RIGHT = "the attack is right on every row of the gold model too: other holdout rows"


class Privacy(Suite, name="privacy"):
    """Membership attacks on forget rows against rows of the same kind that were never seen.

    Every attack gives a row one score, of its response after its prompt. Figures, as
    ``<attack>/<figure>``, for ``loss``, ``zlib``, ``min_k``, ``min_k_pp``, where there is
    a gold model ``reference`` (loss minus that model's), and if asked for ``gradnorm``:

    * ``auc``: 1 where each forget row is told from the others, about 0.5 where none is.
    * ``tpr_at_1_fpr``: share of forget rows found at 1 % false alarms.
    * ``privleak``: change of the attack's error against the gold model's, in percent; 0 is good.

    Args:
        forget: Rows that the model was trained on: a recipe stream's name, a file, or a stream.
        holdout: Rows of the same kind that no model has seen; by default the stream ``heldout``.
        prompt_tokens: Where a file of plain text is cut into prompt and response.
        k: Share of the tokens that Min-K% and Min-K%++ average.
        gradnorm: Run the attack by gradients too, one backward pass a row.
        limit: Rows of each kind at most, evenly spaced; None for all.

    References:
        Carlini et al. 2022, arXiv 2112.03570; Shi et al. 2024, arXiv 2310.16789 (Min-K%);
        Zhang et al. 2024, arXiv 2404.02936 (Min-K%++); Duan et al. 2024, arXiv 2402.07841.
    """

    better: ClassVar[Mapping[str, Better]] = {"*/privleak": "zero"}
    uses_gold = True

    def __init__(
        self,
        forget: Source | None = None,
        holdout: Source | None = None,
        prompt_tokens: int = 1,
        k: float = 0.4,
        gradnorm: bool = False,
        limit: int | None = None,
    ) -> None:
        if not 0 < k <= 1:
            raise RecipeError(f"privacy: k must be in (0, 1], found {k}")
        if limit is not None and limit < 1:
            raise RecipeError(f"privacy: limit must be at least 1 or null, found {limit}")
        self.sources = {"forget": forget, "holdout": holdout}
        self.prompt_tokens, self.k, self.gradnorm, self.limit = prompt_tokens, k, gradnorm, limit

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the recipe's streams that it reads, of those that the recipe has."""
        return stream_names({k: s or _NAMES[k] for k, s in self.sources.items()})

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all rows."""
        self._probes(tokenizer, context)

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all rows' tokens."""
        return digest(self.k, self.gradnorm, self._probes(tokenizer, context))

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Attacks the model, and the gold model beside."""
        rows: list[dict[str, Any]] = []
        for stream, examples in self._probes(tokenizer, context).items():
            attacks = self._attacks(model, tokenizer, context, examples)
            gold = (
                None
                if context.gold is None
                else self._attacks(context.gold, tokenizer, context, examples)
            )
            for i, example in enumerate(examples):
                row = {"stream": stream, "row": example.row, "source": example.source}
                row["scores"] = {name: scores[i].item() for name, scores in attacks.items()}
                if gold is not None:
                    row["scores"]["reference"] = membership.reference(
                        attacks["loss"][i], gold["loss"][i]
                    ).item()
                    row["gold_scores"] = {name: each[i].item() for name, each in gold.items()}
                rows.append(row)
        missing: dict[str, str] = {}
        if context.gold is None:
            missing = {"reference/*": _NO_GOLD, "*/privleak": _NO_GOLD}
        values = self.figures(rows)
        for name in rows[0].get("gold_scores", ()):
            if f"{name}/privleak" not in values:
                missing[f"{name}/privleak"] = ALWAYS_RIGHT
        return SuiteResult(values, rows, missing)

    def figures(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """All figures."""
        part = by_stream(rows)
        values: dict[str, float] = {}
        for name in rows[0]["scores"]:
            forget, holdout = (_column(part[s], "scores", name) for s in ("forget", "holdout"))
            auc = membership.auc(forget, holdout)
            values[f"{name}/auc"] = auc
            values[f"{name}/tpr_at_1_fpr"] = membership.true_positive_rate(forget, holdout)
            if name in rows[0].get("gold_scores", ()):
                gold = membership.auc(
                    *(_column(part[s], "gold_scores", name) for s in ("forget", "holdout"))
                )
                if gold < 1:
                    values[f"{name}/privleak"] = truth.privleak(auc, gold)
        return values

    def _probes(
        self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> dict[str, list[Example]]:
        sources = chosen_sources("privacy", self.sources, _NAMES, context)
        return read_probes(
            sources, tokenizer, context, prompt_tokens=self.prompt_tokens, limit=self.limit
        )

    def _attacks(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        context: SuiteContext,
        examples: Sequence[Example],
    ) -> dict[str, Tensor]:
        """``[S]`` scores by attack, higher for what looks less like a member."""
        scores = score(model, examples, batch_size=context.batch_size)
        flat = (scores.sequence, len(examples))
        texts = [text_of(tokenizer, example.response_ids) for example in examples]
        found = {
            "loss": membership.loss(scores.logps, *flat),
            "zlib": membership.zlib(scores.logps, scores.sequence, texts),
            "min_k": membership.min_k(scores.logps, *flat, self.k),
            "min_k_pp": membership.min_k(scores.standardised, *flat, self.k),
        }
        if self.gradnorm:
            found["gradnorm"] = gradient_norms(model, examples)
        return found


def _column(rows: Sequence[Mapping[str, Any]], key: str, name: str) -> Tensor:
    return torch.tensor([row[key][name] for row in rows], dtype=torch.double)
