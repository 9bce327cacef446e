"""RWKU: knowledge of real people, under attacks too, and of their neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unlearnkit.data.example import Example
from unlearnkit.data.rows.several import check_separator
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.metrics import (
    Accuracy,
    AnswerF1,
    BestAnswer,
    Entropy,
    ExactMatch,
    MembershipScore,
    Rouge,
    TrueShare,
)
from unlearnkit.plain import spaced
from unlearnkit.suites.base import Probe, Rows, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts import rwku_utility
from unlearnkit.suites.parts.asking import Asking
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.continuations import text_of
from unlearnkit.suites.parts.cuts import Cuts
from unlearnkit.suites.parts.digest import digest
from unlearnkit.suites.parts.measured import by_stream
from unlearnkit.suites.parts.published import Item, Part, read_parts, tables_of, whole_texts

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

Items = Mapping[str, Sequence[Item]]

_ASKED = ("query", "answer", "subject")
PROBES = ("forget_level1", "forget_level2", "forget_level3", "neighbor_level1", "neighbor_level2")
TEXTS = ("mia_forget", "mia_retain")
_PARTS = (
    *(Part(n, n, _ASKED, split="test", optional=n.startswith("neighbor")) for n in PROBES),
    Part("mia_forget", "mia_forget", ("text",), split="test", optional=True, file="forget_mia"),
    Part("mia_retain", "mia_retain", ("text",), split="test", optional=True, file="retain_mia"),
    *rwku_utility.PARTS,
)
# Of these attacks the query brings its own end, or its own questions and answers.
_WITHOUT_LEAD, _WITHOUT_QUESTION = "affirmative suffix", "incontext learning"
_ATTACKS = {
    "loss": MembershipScore("loss"),
    "zlib": MembershipScore("zlib"),
    "min_k": MembershipScore("min_k"),
    "min_k_pp": MembershipScore("min_k_pp"),
}


class Rwku(Suite, name="rwku"):
    """RWKU: probes of famous people that are to be forgotten, neighbours, membership, utility.

    The benchmark has no training set and so no protected rows; ``neighbor_level1`` and
    ``neighbor_level2`` ask about people and things near to those forgotten.

    Metrics, as ``<stream>/<metric>``; the streams are the benchmark's configurations:

    * ``rougeL_recall`` of ``forget_level1`` (fill in the blank), ``forget_level2`` (questions),
      ``forget_level3`` (attacks of nine types), ``neighbor_level1`` and ``neighbor_level2``: of the
      greedy answer of at most 30 tokens, up to its first line break.
    * ``loss``, ``zlib``, ``min_k``, ``min_k_pp`` of ``mia_forget`` and ``mia_retain``: means over
      texts, higher for what looks less trained on; Min-K% at 20 %.
    * ``utility_general/accuracy`` (MMLU), ``utility_reason/exact_match`` (BBH),
      ``utility_truthfulness/mc1`` and ``mc2`` (TruthfulQA), ``utility_factuality/exact_match`` and
      ``f1`` (TriviaQA), ``utility_fluency/entropy`` of word pairs and triples, in bits.

    Wording is ours and can be set, and TruthfulQA and TriviaQA are asked without examples in
    front: compare those metrics with the model before unlearning, not with published values.

    Args:
        data: Folder with ``forget_level1.json`` and so on (named as on the Hub, by configuration
            or by file), or the id on the Hub.
        subject: The one person whose rows are taken; None for all.
        blank: Text around a query with a blank; ``{query}`` is the query.
        question: Text around a query that is a question.
        chat: Put all of it through the chat template.
        limit: Rows of each kind at most, evenly spaced; None for all.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.
        system: System turn in front of each question; with ``chat``.
        separator: Stands between the texts of ``choices``, ``answer`` and ``answers`` of the
            utility benchmarks where a file joins them, such as ``"; "``.

    References:
        Jin et al. 2024, "RWKU: Benchmarking real-world knowledge unlearning for large language
        models", arXiv 2406.10890, sec. 3 and 4.
    """

    probes = {
        "forget_level*": Probe("forget"),
        "neighbor_level*": Probe("neighbour"),
        "mia_forget": Probe("forget"),
        "mia_retain": Probe("retain"),
        "utility_*": Probe("utility"),
    }
    metrics = {
        "rougeL_recall": Rouge(),
        **_ATTACKS,
        "accuracy": Accuracy(),
        "exact_match": ExactMatch(),
        "f1": AnswerF1(),
        "mc1": BestAnswer(),
        "mc2": TrueShare(),
        "entropy": Entropy(),
    }

    def __init__(
        self,
        data: str = "jinzhuoran/RWKU",
        subject: str | None = None,
        blank: str = "Fill in the blank.\nQuestion: {query}\n",
        question: str = "Answer in a few words.\nQuestion: {query}\n",
        chat: bool = False,
        limit: int | None = None,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        system: str | None = None,
        separator: str | None = None,
    ) -> None:
        check_separator(separator)
        for name, template in (("blank", blank), ("question", question)):
            if "{query}" not in template:
                raise RecipeError(f"rwku: {name}: expected {{query}} somewhere, found {template!r}")
        self.at_least_one(limit=limit)
        self.data, self.subject, self.limit = data, subject, limit
        self.separator = separator
        self.chat = Chat.chosen(chat, chat_template, template_arguments, system)
        self.blank, self.question = blank, question

    def hub_tables(self) -> dict[str | None, bool]:
        """Configurations of the published data set."""
        return tables_of(_PARTS)

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads all rows, and tokenises what is scored."""
        items, codec = self._items(), context.codec(tokenizer)
        self._texts(items, codec, Cuts(context.max_length))
        if self.chat is not None:
            self.chat.turns(codec)

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all rows."""
        return digest(self.blank, self.question, self.chat, self._items())

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Evaluates the model on all rows."""
        items = self._items()
        codec = context.codec(tokenizer)
        asking = Asking(model, codec, context, self.chat)
        rows: list[dict[str, Any]] = []
        for stream in PROBES:
            if stream in items:
                rows += self._probed(asking, stream, items[stream])
        cuts = Cuts(context.max_length)
        rows += _membership(model, codec, context, self._texts(items, codec, cuts))
        rows += rwku_utility.rows(asking, items)
        missing = {
            f"{part.stream}/*": f"no rows: the file {part.name} of {self.data}"
            for part in _PARTS
            if part.stream not in items
        }
        notes = [*cuts.notes(), *self.left_out(rows)]
        return SuiteResult(self.aggregate(rows), rows, missing, notes)

    def groups(self, rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
        """Values of the rows by stream."""
        return {name: [row["figures"] for row in part] for name, part in by_stream(rows).items()}

    def _items(self) -> dict[str, list[Item]]:
        items = read_parts(self.data, _PARTS, separator=self.separator)
        rwku_utility.check(items)
        if self.subject is not None:
            items = {
                stream: [item for item in part if item.fields.get("subject") == self.subject]
                for stream, part in items.items()
            }
            if not items["forget_level1"]:
                expected = f"rows with the subject '{self.subject}'"
                raise DataError([Problem(self.data, None, "subject", "none", expected)])
        return {
            stream: found for stream, part in items.items() if (found := spaced(part, self.limit))
        }

    def _probed(self, asking: Asking, stream: str, items: Sequence[Item]) -> list[dict[str, Any]]:
        asked: list[tuple[str, str]] = []
        for item in items:
            kind, query = item.fields.get("type"), item.fields["query"]
            template = self.blank if stream.endswith("level1") else self.question
            if kind == _WITHOUT_QUESTION:
                template = template.replace("Question: ", "")
            lead = "" if kind == _WITHOUT_LEAD else "Answer:"
            asked.append((asking.framed(template, query), lead))
        found = asking.answers(stream, items, asking.prompts(asked), 30, stop=("\n",))
        said = [row["generated"].strip() for row in found]
        true = [item.fields["answer"] for item in items]
        return rwku_utility.with_values(found, Rouge().fields(said, true))

    def _texts(self, items: Items, codec: Codec, cuts: Cuts) -> dict[str, list[Example]]:
        """Texts of the attacks; those of too few tokens are left out."""
        found: dict[str, list[Example]] = {}
        for stream in TEXTS:
            examples, short = whole_texts(items.get(stream, ()), codec, cuts)
            if examples:
                found[stream] = examples
            for _ in short:
                cuts.drop(stream)
        return found


def _membership(
    model: nn.Module, codec: Codec, context: SuiteContext, texts: Mapping[str, list[Example]]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for stream, examples in texts.items():
        scores = score(model, examples, batch_size=context.batch_size, standardised=True)
        texts_of = [text_of(codec.tokenizer, example.response_ids) for example in examples]
        inputs = (scores.logps, scores.standardised, scores.sequence, texts_of)
        found = [{"stream": stream, "row": e.row, "source": e.source} for e in examples]
        columns = [attack.fields(*inputs) for attack in _ATTACKS.values()]
        rows += rwku_utility.with_values(found, *columns)
    return rows
