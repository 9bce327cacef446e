"""Do requests to forget stay forgotten while later ones are carried out?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnkit.data.example import Example
from unlearnkit.data.streams.base import Stream
from unlearnkit.errors import RecipeError
from unlearnkit.suites.base import Better, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.continuations import continuation_rows, longest_generation
from unlearnkit.suites.cuts import Cuts, longer_than
from unlearnkit.suites.digest import by_stream, digest
from unlearnkit.suites.measured import left_out, mean_of
from unlearnkit.suites.probes import Source, read_probes, stream_names

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

KEPT = ("normal", "heldout")


class Requests(Suite, name="requests"):
    """Recitation of the forget rows of several requests, each under its own name.

    A recipe with ``requests:`` runs it before the first request and after each, on all of them:
    those that came before, which should stay forgotten, and those that are still to come.

    Every probe is a prompt with its true continuation, as in the suite ``copyright``, and what
    ``max_new_tokens`` cuts is compared as there.

    Figures, as ``<request>/<figure>``, ``normal/<figure>`` and ``heldout/<figure>``:

    * ``rougeL_recall``: of the greedy continuation against the true one, mean over rows.
    * ``probability``: of the true continuation, normalised by its length, mean over rows.
    * ``exact_memorization``, ``extraction_strength``: teacher-forced, mean over rows.

    Args:
        streams: The forget rows of each request by its name; a recipe with ``requests:`` fills
            them in.
        normal: Rows that are to stay, as the retain term sees them; by default the recipe's
            stream ``retain``.
        heldout: Rows that are to stay, and which the retain term never sees; by default the
            recipe's stream ``heldout``.
        prompt_tokens: Where a file of plain text is cut into prompt and continuation.
        max_new_tokens: Longest continuation.
        limit: Rows of each kind at most, evenly spaced; None for all.

    References:
        Shi et al. 2024, "MUSE: Machine unlearning six-way evaluation for language models",
        arXiv 2407.06460, sec. 3, criterion 6 (sustainability).
    """

    better: ClassVar[Mapping[str, Better]] = {
        "normal/*": "higher",
        "heldout/*": "higher",
        "*": "lower",
    }

    def __init__(
        self,
        streams: dict[str, Stream] | None = None,
        normal: Source | None = None,
        heldout: Source | None = None,
        prompt_tokens: int = 32,
        max_new_tokens: int = 64,
        limit: int | None = 64,
    ) -> None:
        taken = sorted(set(KEPT) & set(streams or {}))
        if taken:
            raise RecipeError(f"requests: {taken[0]} is the name of rows that are to stay")
        for field, value in (("prompt_tokens", prompt_tokens), ("max_new_tokens", max_new_tokens)):
            if value < 1:
                raise RecipeError(f"requests: {field} must be at least 1, found {value}")
        if limit is not None and limit < 1:
            raise RecipeError(f"requests: limit must be at least 1 or null, found {limit}")
        self.sources: dict[str, Source | None] = {
            **(streams or {}),
            "normal": normal,
            "heldout": heldout,
        }
        self.prompt_tokens, self.max_new_tokens = prompt_tokens, max_new_tokens
        self.limit = limit

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the recipe's streams that it reads, of those that the recipe has."""
        return stream_names(self.sources)

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all probes."""
        if not set(self.sources) - set(KEPT):
            raise RecipeError(
                "requests: no request is given",
                hint="Give the recipe requests: [a.jsonl, b.jsonl], or the suite streams by name.",
            )
        self._probes(tokenizer, context)

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model on all requests and on what is to stay."""
        rows: list[dict[str, Any]] = []
        cuts = Cuts(context.max_length)
        probes = self._probes(tokenizer, context, cuts)
        for stream, examples in probes.items():
            found = continuation_rows(model, tokenizer, context, examples, self.max_new_tokens)
            for row in found:
                row["probability"] = math.exp(-row["nll_sum"] / row["tokens"])
            rows += [{"stream": stream, **row} for row in found]
        lacking = set(self.sources) - {row["stream"] for row in rows}
        missing = {
            f"{kind}/*": f"no {kind} rows: give the suite '{kind}: FILE'"
            for kind in sorted(lacking)
        }
        bound = longest_generation(context, self.max_new_tokens)
        notes = [
            *cuts.notes(),
            *longer_than(probes, bound, compared_in_part=True),
            *left_out(rows, {"rougeL_recall": "rougeL_recall"}),
        ]
        return SuiteResult(self.figures(rows), rows, missing, notes)

    def figures(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Figures of these rows, by request."""
        names = ("rougeL_recall", "probability", "exact_memorization", "extraction_strength")
        return {
            f"{stream}/{name}": mean_of(found, name)
            for stream, found in by_stream(rows).items()
            for name in names
        }

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of the probes' tokens."""
        how = (self.prompt_tokens, self.max_new_tokens, self.limit)
        return digest(how, self._probes(tokenizer, context))

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
            cuts=cuts,
        )
