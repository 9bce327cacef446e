"""Membership attacks on the forget texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.scoring import gradient_norms, score
from unlearnkit.errors import RecipeError
from unlearnkit.functional import membership
from unlearnkit.metrics import MembershipAUC, MembershipTPR, PrivLeak
from unlearnkit.suites.base import Probe, Rows, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.continuations import text_of
from unlearnkit.suites.parts.cuts import Cuts
from unlearnkit.suites.parts.digest import digest
from unlearnkit.suites.parts.probes import Source, chosen_sources, read_probes, stream_names

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

_NAMES = {"forget": "forget", "holdout": "heldout"}
_NO_GOLD = "no gold model: one that was trained without the forget rows"

ALWAYS_RIGHT = "the attack is right on every row of the gold model too: other holdout rows"


class Privacy(Suite, name="privacy"):
    """Membership attacks on forget rows against rows of the same kind that were never seen.

    Every attack gives a row one score, of its response after its prompt. Metrics, as
    ``<attack>/<metric>``, for ``loss``, ``zlib``, ``min_k``, ``min_k_pp``, where there is
    a gold model ``reference`` (loss minus that model's), and if asked for ``gradnorm`` and
    ``recall`` (ReCaLL):

    * ``auc``: 1 where each forget row is told from the others, about 0.5 where none is.
    * ``tpr_at_1_fpr``: share of forget rows found at 1 % false alarms.
    * ``privleak``: change of the attack's error against the gold model's, in percent; 0 is good.

    Args:
        forget: Rows that the model was trained on: a recipe stream's name, a file, or a stream.
        holdout: Rows of the same kind that no model has seen; by default the stream ``heldout``.
        prompt_tokens: Where a file of plain text is cut into prompt and response.
        k: Share of the tokens that Min-K% and Min-K%++ average.
        gradnorm: Run the attack by gradients too, one backward pass per row.
        shots: Run ReCaLL too, with this many holdout rows, the first ones, in front of each row.
            These are known not to be members, so no attack is judged on them.
        limit: Rows of each kind that are judged at most, evenly spaced; None for all. The rows in
            front stay as they are.

    References:
        Carlini et al. 2022, arXiv 2112.03570; Shi et al. 2024, arXiv 2310.16789 (Min-K%);
        Zhang et al. 2024, arXiv 2404.02936 (Min-K%++); Xie et al. 2024, arXiv 2406.15968
        (ReCaLL); Duan et al. 2024, arXiv 2402.07841.
    """

    probes = dict.fromkeys(
        ("loss", "zlib", "min_k", "min_k_pp", "reference", "gradnorm", "recall"), Probe("forget")
    )
    metrics = {
        "auc": MembershipAUC(),
        "tpr_at_1_fpr": MembershipTPR(),
        "privleak": PrivLeak(auc_gold=None),
    }
    uses_gold = True

    def __init__(
        self,
        forget: Source | None = None,
        holdout: Source | None = None,
        prompt_tokens: int = 1,
        k: float = 0.4,
        gradnorm: bool = False,
        shots: int = 0,
        limit: int | None = None,
    ) -> None:
        if not 0 < k <= 1:
            raise RecipeError(f"privacy: k must be in (0, 1], found {k}")
        self.at_least_one(limit=limit)
        if shots < 0:
            raise RecipeError(f"privacy: shots must be 0 or more, found {shots}")
        self.sources = {"forget": forget, "holdout": holdout}
        self.prompt_tokens, self.k, self.gradnorm, self.limit = prompt_tokens, k, gradnorm, limit
        self.shots = shots

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the recipe's streams that it reads, of those that the recipe has."""
        return stream_names({k: s or _NAMES[k] for k, s in self.sources.items()})

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all rows."""
        shown, probes, _ = self._probes(tokenizer, context)
        for examples in probes.values() if shown else ():
            _behind(shown, examples, tokenizer, context)

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all rows' tokens."""
        shown, probes, _ = self._probes(tokenizer, context)
        return digest(self.k, self.gradnorm, self.shots, shown, probes)

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Attacks the model, and the gold model beside."""
        rows: list[dict[str, Any]] = []
        shown, probes, notes = self._probes(tokenizer, context)
        for stream, examples in probes.items():
            behind = _behind(shown, examples, tokenizer, context) if shown else None
            attacks = self._attacks(model, tokenizer, context, examples, behind)
            gold = None
            if context.gold is not None:
                attack = partial(
                    self._attacks,
                    tokenizer=tokenizer, context=context, examples=examples, behind=behind,
                )  # fmt: skip
                gold = context.of_gold((self, stream), model, attacks, attack)
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
        values = self.aggregate(rows)
        for attack in rows[0].get("gold_scores", ()):
            if f"{attack}/privleak" not in values:
                missing[f"{attack}/privleak"] = ALWAYS_RIGHT
        return SuiteResult(values, rows, missing, notes)

    def completed(self, values: dict[str, float | None]) -> dict[str, float | None]:
        """All values; no privacy leakage where the gold model makes no error."""
        return without_leak(values)

    def groups(self, rows: Rows) -> dict[str, list[dict[str, Any]]]:
        """Scores of all rows by attack."""
        return {
            attack: [
                {
                    "score": row["scores"][attack],
                    "is_forget": row["stream"] == "forget",
                    **({"gold_score": gold[attack]} if attack in gold else {}),
                }
                for row in rows
                for gold in [row.get("gold_scores", {})]
            ]
            for attack in rows[0]["scores"]
        }

    def _probes(
        self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> tuple[list[Example], dict[str, list[Example]], list[str]]:
        """Holdout rows to show, the rows that are judged by kind, and what was cut of these."""
        sources = chosen_sources("privacy", self.sources, _NAMES, context)
        cuts = Cuts(context.max_length)
        probes = read_probes(
            sources,
            tokenizer,
            context,
            prompt_tokens=self.prompt_tokens,
            limit=self.limit,
            first={"holdout": self.shots},
            cuts=cuts,
        )
        holdout = probes["holdout"]
        if self.shots >= len(holdout):
            raise RecipeError(
                f"privacy: shots: expected 0 to {len(holdout) - 1}, so that holdout rows are left "
                f"to be judged, found {self.shots}"
            )
        judged = {**probes, "holdout": holdout[self.shots :]}
        return holdout[: self.shots], judged, cuts.notes()

    def _attacks(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        context: SuiteContext,
        examples: Sequence[Example],
        behind: Sequence[Example] | None,
    ) -> dict[str, Tensor]:
        """``[S]`` scores by attack, higher for what looks less like a member."""
        scores = score(model, examples, batch_size=context.batch_size, standardised=True)
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
        if behind is not None:
            after = score(model, behind, batch_size=context.batch_size)
            loss = membership.loss(after.logps, after.sequence, len(behind))
            found["recall"] = membership.recall(found["loss"], loss)
        return found


def without_leak(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Values without a privacy leakage that is not defined."""
    return {k: v for k, v in values.items() if v is not None or not k.endswith("/privleak")}


def _behind(
    shown: Sequence[Example],
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    context: SuiteContext,
) -> list[Example]:
    """The examples with the rows that are shown in front of their prompts.

    Raises:
        RecipeError: If one of them has no room for that.
    """
    codec = context.codec(tokenizer)
    start, blank = tuple(codec.bos), tuple(codec.tokens(["\n\n"])[0])

    def text(ids: tuple[int, ...]) -> tuple[int, ...]:
        ids = ids[len(start) :] if ids[: len(start)] == start else ids
        return ids[:-1] if ids and ids[-1] in codec.end_ids else ids

    shots = [i for each in shown for i in (*text(each.prompt_ids + each.response_ids), *blank)]
    found = [e._replace(prompt_ids=(*start, *shots, *text(e.prompt_ids))) for e in examples]
    longest = max(len(each.prompt_ids) + len(each.response_ids) for each in found)
    if longest > context.max_length:
        raise RecipeError(
            f"privacy: with {len(shown)} shots in front the longest row has {longest} tokens, more "
            f"than max_length {context.max_length}",
            hint="Give fewer shots, or shorter holdout rows.",
        )
    return found
