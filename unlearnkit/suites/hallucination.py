"""Invented against true answers to questions, seen and unseen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.data.example import Example
from unlearnkit.data.rows.several import check_separator
from unlearnkit.engine.generation.scoring import score
from unlearnkit.functional.membership import loss
from unlearnkit.metrics import (
    DistinctN,
    HallucinationRate,
    KLToReference,
    Perplexity,
    PreferenceGain,
    PreferenceRate,
    Rouge,
)
from unlearnkit.suites.base import Probe, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.continuations import (
    KEPT_METRICS,
    continuation_rows,
    longest_generation,
)
from unlearnkit.suites.parts.cuts import Cuts, longer_than
from unlearnkit.suites.parts.digest import digest
from unlearnkit.suites.parts.probes import (
    KEPT,
    KEPT_NAMES,
    Source,
    chosen_sources,
    read_probes,
    stream_names,
)
from unlearnkit.suites.parts.published import Part, Prompting, check_template, read_parts

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

UNSEEN = "unseen"
_ASKED = ("hallucination_rate", "preference_rate", "rougeL_recall", "preference_gain")
_NO_REFERENCE = "no reference: the model as it was before unlearning"


class Asked(NamedTuple):
    """A row: its true and its invented answer, each as an example and as text."""

    true: Example
    invented: Example
    true_text: str
    invented_text: str


class _TrueRecall(Rouge):
    """ROUGE-L recall of the true answer, which is wanted whatever the role."""

    direction = "up"


class Hallucination(Suite, name="hallucination"):
    """Invented against true answers to questions seen and not seen, beside normal rows.

    Metrics, as ``<stream>/<metric>``, streams ``trained`` and ``unseen``:

    * ``hallucination_rate``: share of answers nearer to the invented answer than to the true one,
      by ROUGE-L F1.
    * ``preference_rate``: share of rows whose invented answer is likelier per token. It compares
      two texts of one model: where true answers are names and invented ones whole sentences, as in
      HaluEval, a sentence is likelier per token whatever the model knows, and one that never saw
      the rows may score 1. So hold it against the gold model's value and that before, not 0.
    * ``preference_gain``: share of rows whose invented answer has gained on the true one, in nats
      per token, since the model before unlearning, ties counted half. What kind of texts they are
      cancels out: 0.5 is no change, 0 says that every row has moved towards the truth.
    * ``rougeL_recall``: of the answer against the true one, mean over rows.

    Of ``normal``, ``heldout`` and ``neighbour`` rows: ``rougeL_recall``, ``distinct_2``,
    ``perplexity`` and ``kl_to_reference``.

    Args:
        data: Folder with a file each for ``trained`` and ``unseen``, or the id on the Hub.
        trained: Name of the file or configuration whose invented answers are to be forgotten.
        unseen: Name of that with other questions; None for none.
        question_field: Column of the question; the names are those of HaluEval.
        true_field: Column of the true answer.
        invented_field: Column of the invented answer.
        normal: Rows that the retain term sees; by default the stream ``retain``.
        heldout: Normal rows that it does not see.
        neighbour: Normal rows that it does not see either, on the topics that are forgotten.
        template: Text around question and answer.
        chat: Put questions through the chat template instead.
        max_new_tokens: Longest answer; true and invented answers are compared whole.
        limit: Rows of each kind at most, evenly spaced; None for all.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.
        system: System turn in front of each question; with ``chat``.
        separator: Stands between the answers of a column that joins several, such as ``"; "`` in
            TruthfulQA. Each true answer makes a row with each invented one.

    References:
        Yao et al. 2023, arXiv 2310.10683, sec. 4.3; Li et al. 2023, "HaluEval",
        arXiv 2305.11747 (data).
    """

    probes = {
        "trained": Probe("forget", _ASKED),
        "unseen": Probe("unseen", _ASKED),
        "normal": Probe("protected", KEPT_METRICS),
        "heldout": Probe("heldout", KEPT_METRICS),
        "neighbour": Probe("neighbour", KEPT_METRICS),
    }
    metrics = {
        "hallucination_rate": HallucinationRate(),
        "preference_rate": PreferenceRate(),
        "rougeL_recall": _TrueRecall(),
        "preference_gain": PreferenceGain(),
        "distinct_2": DistinctN(2),
        "perplexity": Perplexity(),
        "kl_to_reference": KLToReference(),
    }

    def __init__(
        self,
        data: str,
        trained: str = "trained",
        unseen: str | None = UNSEEN,
        question_field: str = "question",
        true_field: str = "right_answer",
        invented_field: str = "hallucinated_answer",
        normal: Source | None = None,
        heldout: Source | None = None,
        neighbour: Source | None = None,
        template: str = "Question: {prompt}\nAnswer: {response}",
        chat: bool = False,
        max_new_tokens: int = 64,
        limit: int | None = 64,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        system: str | None = None,
        separator: str | None = None,
    ) -> None:
        check_template(template)
        check_separator(separator)
        self.at_least_one(max_new_tokens=max_new_tokens, limit=limit)
        self.data, self.template = data, template
        self.chat = Chat.chosen(chat, chat_template, template_arguments, system)
        self.fields = (question_field, true_field, invented_field)
        keys = ("question_field", "true_field", "invented_field")
        part = partial(Part, texts=self.fields, keys=keys, answers=(true_field, invented_field))
        self.parts = [part("trained", trained)]
        if unseen is not None:
            self.parts.append(part("unseen", unseen, optional=unseen == UNSEEN))
        self.separator = separator
        self.sources: dict[str, Source | None] = dict(
            zip(KEPT, (normal, heldout, neighbour), strict=True)
        )
        self.max_new_tokens, self.limit = max_new_tokens, limit

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the recipe's streams that it reads, of those that the recipe has."""
        return stream_names({k: s or KEPT_NAMES[k] for k, s in self.sources.items()})

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads and tokenises all probes."""
        self._probes(tokenizer, context)

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of the probes' tokens."""
        asked, normal, _ = self._probes(tokenizer, context)
        return digest(self.max_new_tokens, (asked, normal))

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model on all probes."""
        rows: list[dict[str, Any]] = []
        asked, normal, cuts = self._probes(tokenizer, context)
        true = {stream: [each.true for each in part] for stream, part in asked.items()}
        for stream, part in asked.items():
            texts = [each.true_text for each in part]
            found = continuation_rows(
                model, tokenizer, context, true[stream], self.max_new_tokens, texts
            )
            losses = _losses(model, context, part)
            for row, each, values in zip(found, part, losses, strict=True):
                row |= {"invented": each.invented_text, **values}
            Rouge("rougeL", "f1").fill(found)
            said, invented = ([row[key] for row in found] for key in ("generated", "invented"))
            for row, value in zip(found, Rouge("rougeL", "f1").fields(said, invented), strict=True):
                row["rougeL_f1_invented"] = value["rougeL_f1"]
            HallucinationRate().fill(found)
            rows += [{"stream": stream, **row} for row in found]
        for stream, examples in normal.items():
            found = continuation_rows(model, tokenizer, context, examples, self.max_new_tokens)
            rows += [{"stream": stream, **row} for row in found]
        missing = {
            f"{kind}/*": f"no {kind} rows"
            for kind in ("unseen", *KEPT)
            if kind not in asked and kind not in normal
        }
        if context.reference is None:
            missing["*/preference_gain"] = _NO_REFERENCE
        bound = longest_generation(context, self.max_new_tokens)
        notes = [
            *cuts.notes(),
            *longer_than(true, bound, compared_in_part=False),
            *longer_than(normal, bound, compared_in_part=True),
            *self.left_out(rows),
        ]
        return SuiteResult(self.aggregate(rows), rows, missing, notes)

    def _probes(
        self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> tuple[dict[str, list[Asked]], dict[str, list[Example]], Cuts]:
        """True and invented answer of each row by stream; normal rows; what was cut of both."""
        cuts = Cuts(context.max_length)
        asking = Prompting(context.codec(tokenizer), self.template, self.chat, cuts)
        question, *answers = self.fields
        asked: dict[str, list[Asked]] = {}
        for stream, items in read_parts(self.data, self.parts, self.limit, self.separator).items():
            both = [tuple(item.fields[name] for name in answers) for item in items]
            rows = zip(items, both, strict=True)
            examples = asking.examples([(i, i.fields[question], t) for i, b in rows for t in b])
            pairs = zip(examples[::2], examples[1::2], both, strict=True)
            asked[stream] = [Asked(true, invented, *texts) for true, invented, texts in pairs]
        sources = chosen_sources("hallucination", self.sources, KEPT_NAMES, context, KEPT)
        limit = self.limit
        normal = read_probes(sources, tokenizer, context, prompt_tokens=32, limit=limit, cuts=cuts)
        return asked, normal, cuts


def _losses(
    model: nn.Module, context: SuiteContext, asked: Sequence[Asked]
) -> list[dict[str, Any]]:
    """Nats per token of both answers, and whether the invented one has gained on the true one."""
    answers = [example for each in asked for example in (each.true, each.invented)]
    scores = score(model, answers, batch_size=context.batch_size, reference=context.reference)
    flat = (scores.sequence, len(answers))
    now = loss(scores.logps, *flat).view(-1, 2)
    found = [{"nll": true, "nll_invented": invented} for true, invented in now.tolist()]
    if scores.ref_logps is not None:
        moved = (now - loss(scores.ref_logps, *flat).view(-1, 2)).T.tolist()
        for row, gained in zip(found, PreferenceGain().fields(*moved), strict=True):
            row |= gained
    return found
