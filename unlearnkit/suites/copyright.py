"""Does the model still recite the passages it was to forget, and is the rest unharmed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnkit.data.example import Example
from unlearnkit.errors import RecipeError
from unlearnkit.metrics.judged import SemanticSimilarity
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.suites.base import Better, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.continuations import (
    continuation_rows,
    longest_generation,
    normal_figures,
    token_mean,
)
from unlearnkit.suites.cuts import Cuts, longer_than
from unlearnkit.suites.digest import by_stream, digest
from unlearnkit.suites.measured import left_out, mean, mean_of
from unlearnkit.suites.probes import KEPT, Source, read_probes, stream_names

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

_FORGOTTEN = ("forget", "unseen")


class Copyright(Suite, name="copyright"):
    """Recitation of passages, beside protected and held-out normal rows.

    Every probe is a prompt with its true continuation. The model continues the prompt greedily
    for as many tokens as the true continuation has, and scores the true continuation itself. Where
    ``max_new_tokens`` is less than that, the text that is generated is held against as many tokens
    of the true one, since a recital of them is whole too; the teacher-forced figures are of all.

    ``normal`` rows are those that the retain term sees; ``heldout`` rows are not, nor are
    ``neighbour`` rows, which are near to what is forgotten: of the same book or kind. Only all
    together say that the damage stays where it was meant: a model can keep the rows it is held
    to and lose all others.

    ``unseen`` rows are other prompts for what is to be forgotten, such as the same passages cut
    elsewhere; those figures are those of ``forget``.

    A field left out is the recipe's stream ``forget``, ``unseen``, ``retain``, ``heldout`` or
    ``neighbour``; on the shipped data, and outside a run, it is the shipped file, of which there
    is none of ``unseen``. Without held-out rows those figures are left out, and a warning says so.

    Figures, as ``<stream>/<figure>``:

    * ``rougeL_recall``: of the continuation against the true one, mean over rows, in [0, 1].
    * ``leak_rate`` (forget, unseen): share of rows whose continuation has a BLEU above
      ``leak_bleu``.
    * ``extraction_strength``, ``exact_memorization``, ``nll`` (forget, unseen): teacher-forced;
      ``nll`` in nats per token.
    * ``perplexity``, ``kl_to_reference`` (normal, heldout, neighbour): over all tokens; KL in nats
      per token, where the context has a reference.
    * ``semantic_similarity``, where ``semantic`` names a model: cosine of the embeddings of the
      continuation and the true one, mean over rows.
    * ``distinct_2``: different word pairs among all of a continuation, mean over rows; near 0 for
      a text that repeats one token.

    Rows in which a figure has nothing to measure (a true text without words, or of fewer than four
    tokens for BLEU; a continuation without words) are left out of it, and counted in the notes.

    Args:
        forget: Passages to forget: a recipe stream's name, a file, or a stream of its own.
        normal: Rows that are to stay, as the retain term sees them.
        heldout: Rows that are to stay, and which the retain term never sees.
        neighbour: Of those, the ones nearest to what is forgotten.
        prompt_tokens: Where a file of plain text is cut into prompt and continuation.
        max_new_tokens: Longest continuation.
        limit: Rows of each kind at most, evenly spaced; None for all.
        leak_bleu: BLEU, on 0 to 100, above which a continuation counts as a leak.
        semantic: Folder or hub id of a sentence-transformers model (extra ``semantic``).
        unseen: Other prompts for what is to be forgotten.

    References:
        Yao et al. 2023, "Large language model unlearning", arXiv 2310.10683, sec. 4.2, for leak
        rate and the choice of normal data; Carlini et al. 2021, arXiv 2012.07805, for extraction.
    """

    better: ClassVar[Mapping[str, Better]] = {
        "forget/nll": "higher",
        "forget/distinct_2": "higher",
        "forget/*": "lower",
        "unseen/nll": "higher",
        "unseen/distinct_2": "higher",
        "unseen/*": "lower",
        "*/perplexity": "lower",
        "*/kl_to_reference": "zero",
        "*": "higher",
    }

    def __init__(
        self,
        forget: Source | None = None,
        normal: Source | None = None,
        heldout: Source | None = None,
        neighbour: Source | None = None,
        prompt_tokens: int = 32,
        max_new_tokens: int = 64,
        limit: int | None = 64,
        leak_bleu: float = 20.0,
        semantic: str | None = None,
        unseen: Source | None = None,
    ) -> None:
        for field, value in (("prompt_tokens", prompt_tokens), ("max_new_tokens", max_new_tokens)):
            if value < 1:
                raise RecipeError(f"copyright: {field} must be at least 1, found {value}")
        if limit is not None and limit < 1:
            raise RecipeError(f"copyright: limit must be at least 1 or null, found {limit}")
        kept = dict(zip(KEPT, (normal, heldout, neighbour), strict=True))
        self.sources: dict[str, Source | None] = {"forget": forget, "unseen": unseen, **kept}
        self.prompt_tokens, self.max_new_tokens = prompt_tokens, max_new_tokens
        self.limit, self.leak_bleu, self.semantic = limit, leak_bleu, semantic

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the recipe's streams that it reads, of those that the recipe has."""
        return stream_names(self.sources)

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all probes, and loads the model of the similarity."""
        self._probes(tokenizer, context)
        if self.semantic is not None:
            SemanticSimilarity(self.semantic)

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model on all probes."""
        cuts = Cuts(context.max_length)
        probes = self._probes(tokenizer, context, cuts)
        rows = [
            {"stream": stream, **row}
            for stream, examples in probes.items()
            for row in continuation_rows(model, tokenizer, context, examples, self.max_new_tokens)
        ]
        bound = longest_generation(context, self.max_new_tokens)
        notes = [
            *cuts.notes(),
            *longer_than(probes, bound, compared_in_part=True),
            *left_out(rows, {"rougeL_recall": "rougeL_recall", "distinct_2": "distinct_2"}),
            *left_out([row for row in rows if row["stream"] in _FORGOTTEN], {"leak_rate": "bleu"}),
        ]
        if self.semantic is not None:
            similarity = SemanticSimilarity(self.semantic)
            similarity.update([r["generated"] for r in rows], [r["reference"] for r in rows])
            for row, value in zip(rows, similarity.per_row()[:, 0].tolist(), strict=True):
                row["semantic_similarity"] = value
            notes += similarity.notes()
        return SuiteResult(self.figures(rows), rows, self._missing(rows), notes)

    def figures(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Figures of these rows, by stream."""
        return {
            f"{stream}/{name}": value
            for stream, found in by_stream(rows).items()
            for name, value in self._values(stream, found).items()
        }

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of the probes' tokens."""
        probes = self._probes(tokenizer, context)
        how = (self.prompt_tokens, self.max_new_tokens, self.limit, self.leak_bleu)
        if self.semantic is not None:
            how = (*how, model_fingerprint(self.semantic))
        return digest(how, probes)

    def _missing(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        lacking: dict[str, str] = {}
        for stream in ("forget", *KEPT):
            found = [row for row in rows if row["stream"] == stream]
            if not found:
                lacking[f"{stream}/*"] = f"no {stream} rows: give the suite '{stream}: FILE'"
            elif stream != "forget" and "kl_sum" not in found[0]:
                lacking[f"{stream}/kl_to_reference"] = (
                    "no reference: the model as it was before unlearning"
                )
        return lacking

    def _probes(
        self,
        tokenizer: PreTrainedTokenizerBase,
        context: SuiteContext,
        cuts: Cuts | None = None,
    ) -> dict[str, list[Example]]:
        return read_probes(
            self.sources,
            tokenizer,
            context,
            prompt_tokens=self.prompt_tokens,
            limit=self.limit,
            optional=("unseen", "neighbour"),
            cuts=cuts,
        )

    def _values(self, stream: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        semantic = (
            {"semantic_similarity": mean_of(rows, "semantic_similarity")}
            if "semantic_similarity" in rows[0]
            else {}
        )
        if stream in _FORGOTTEN:
            bleus = (row["bleu"] for row in rows)
            return {
                "rougeL_recall": mean_of(rows, "rougeL_recall"),
                "distinct_2": mean_of(rows, "distinct_2"),
                "leak_rate": mean(b if b is None else b > self.leak_bleu for b in bleus),
                "extraction_strength": mean_of(rows, "extraction_strength"),
                "exact_memorization": mean_of(rows, "exact_memorization"),
                "nll": token_mean(rows, "nll_sum"),
                **semantic,
            }
        return {**normal_figures(rows), **semantic}
