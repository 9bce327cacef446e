"""Multiple-choice questions from local files, such as those of WMDP and MMLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.data.rows.nested import with_fields
from unlearnkit.data.rows.reader import find_file, read_rows
from unlearnkit.data.rows.several import check_separator, lists_of_joined
from unlearnkit.data.rows.table import Row, Table
from unlearnkit.data.rows.values import check_columns, kind_of, text_fault
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.metrics import Accuracy, Chance, ChoiceProbability
from unlearnkit.plain import spaced
from unlearnkit.suites.base import Probe, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.asking import Asking
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.digest import digest

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

LETTERS = "ABCDEFGHIJ"


class Question(NamedTuple):
    """One question: where it was read, its choices, and which of them is right, from 0."""

    row: int
    source: str
    text: str
    choices: tuple[str, ...]
    answer: int


class MultipleChoice(Suite, name="multiple_choice"):
    r"""Multiple-choice questions, answered by a letter.

    The choices are listed under letters, and the letter that is the likeliest to follow is the
    model's choice, as in lm-evaluation-harness for WMDP and MMLU.

    Metrics, as ``<stream>/<metric>``, streams ``forget``, ``normal``, ``heldout``, ``neighbour``:

    * ``accuracy``: share of questions whose right letter is the likeliest.
    * ``probability``: of the right letter among the letters, mean over questions.
    * ``chance``: accuracy of guessing, which is as low as ``forget/accuracy`` should go.

    Args:
        forget: File of questions about what is to be forgotten, such as WMDP's
            ``bio_questions.json``; a folder or a pattern for several.
        normal: File of questions about what the retain term shows.
        heldout: File of questions about what it does not show, such as MMLU's.
        neighbour: File of such questions that are near to what is forgotten.
        question_field: The files' column that holds the question; dotted names reach deeper.
        choices_field: The column that holds the list of choices.
        answer_field: The column that holds the right choice: its number from 0, its letter, or
            its text.
        rows_at: Where the rows stand in the files' objects, such as ``data``.
        intro: Text in front of each question, such as ``"The following are multiple choice
            questions (with answers) about biology.\n\n"``.
        chat: Put questions through the chat template.
        limit: Questions of each kind at most, evenly spaced; None for all.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.
        system: System turn in front of each question; with ``chat``.
        separator: Stands between the choices of a column that joins them, such as ``"; "``.

    References:
        Li et al. 2024, "The WMDP benchmark", arXiv 2403.03218; Hendrycks et al. 2021, "Measuring
        massive multitask language understanding", arXiv 2009.03300.
    """

    probes = {
        "forget": Probe("forget"),
        "normal": Probe("protected"),
        "heldout": Probe("heldout"),
        "neighbour": Probe("neighbour"),
    }
    metrics = {
        "accuracy": Accuracy("right"),
        "probability": ChoiceProbability(),
        "chance": Chance(),
    }

    def __init__(
        self,
        forget: str | None = None,
        normal: str | None = None,
        heldout: str | None = None,
        neighbour: str | None = None,
        question_field: str = "question",
        choices_field: str = "choices",
        answer_field: str = "answer",
        rows_at: str | None = None,
        intro: str = "",
        chat: bool = False,
        limit: int | None = None,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        system: str | None = None,
        separator: str | None = None,
    ) -> None:
        check_separator(separator)
        self.at_least_one(limit=limit)
        given = zip(self.probes, (forget, normal, heldout, neighbour), strict=True)
        self.files = {kind: file for kind, file in given if file is not None}
        if not self.files:
            raise RecipeError(
                "multiple_choice: no file of questions is given",
                hint="Give the suite one or more: {name: multiple_choice, forget: FILE}.",
            )
        self.fields = (question_field, choices_field, answer_field)
        self.rows_at, self.intro, self.limit = rows_at, intro, limit
        self.separator = separator
        self.chat = Chat.chosen(chat, chat_template, template_arguments, system)

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Reads all questions."""
        self._questions()
        if self.chat is not None:
            self.chat.turns(context.codec(tokenizer))

    def fingerprint(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> str:
        """Digest of the arguments and of all questions."""
        return digest(self.intro, self.chat, self._questions())

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Asks all questions."""
        asking = Asking(model, context.codec(tokenizer), context, self.chat)
        rows: list[dict[str, Any]] = []
        for stream, questions in self._questions().items():
            asked = [f"{self.intro}{_listed(each)}\n" for each in questions]
            prompts = asking.prompts([(text, "Answer:") for text in asked])
            pairs = [
                (prompt, f" {letter}")
                for prompt, each in zip(prompts, questions, strict=True)
                for letter in LETTERS[: len(each.choices)]
            ]
            logps = iter(asking.logps(pairs))
            for text, each in zip(asked, questions, strict=True):
                found = [next(logps) for _ in each.choices]
                chosen = found.index(max(found))
                rows.append(
                    {
                        "stream": stream,
                        "row": each.row,
                        "source": each.source,
                        "prompt": f"{text}Answer:",
                        "reference": LETTERS[each.answer],
                        "generated": LETTERS[chosen],
                        "choices": len(each.choices),
                        **Accuracy("right").fields([chosen], [each.answer])[0],
                        **ChoiceProbability().fields([found], [each.answer])[0],
                    }
                )
        missing = {
            f"{kind}/*": f"no {kind} questions: give the suite '{kind}: FILE'"
            for kind in ("forget", "heldout")
            if kind not in self.files
        }
        return SuiteResult(self.aggregate(rows), rows, missing)

    def _questions(self) -> dict[str, list[Question]]:
        found: dict[str, list[Question]] = {}
        problems: list[Problem] = []
        for kind, file in self.files.items():
            if find_file(file) is None:
                problems.append(Problem(file, None, None, "no such file", f"{kind} questions"))
                continue
            table = with_fields(read_rows(file, rows_at=self.rows_at), self.fields)
            keys = ("question_field", "choices_field", "answer_field")
            check_columns(table, dict(zip(keys, self.fields, strict=True)))
            if self.separator is not None:
                table = lists_of_joined(table, [self.fields[1]], self.separator)
            questions, faults = self._checked(table)
            problems += [*table.problems, *faults]
            found[kind] = spaced(questions, self.limit)
        if problems:
            raise DataError(problems)
        return found

    def _checked(self, table: Table) -> tuple[list[Question], list[Problem]]:
        questions: list[Question] = []
        problems: list[Problem] = []
        for number, row in enumerate(table.rows):
            faults = list(self._faults(table.file, row))
            problems += faults
            if not faults:
                text, choices, answer = (row.fields[name] for name in self.fields)
                index = _index(answer, choices)
                assert index is not None
                source = f"{table.file}:{row.place}"
                questions.append(Question(number, source, text.strip(), tuple(choices), index))
        return questions, problems

    def _faults(self, file: str, row: Row) -> list[Problem]:
        text, choices, answer = (row.fields.get(name) for name in self.fields)
        faults = []
        if (fault := text_fault(text)) is not None:
            faults.append((self.fields[0], fault, "text"))
        if not isinstance(choices, list) or any(text_fault(each) for each in choices):
            kind = "an array with other things" if isinstance(choices, list) else kind_of(choices)
            expected = "an array of texts (or joined texts with `separator`)"
            faults.append((self.fields[1], kind, expected))
        elif not 2 <= len(choices) <= len(LETTERS):
            faults.append((self.fields[1], f"{len(choices)} choices", f"2 to {len(LETTERS)}"))
        elif _index(answer, choices) is None:
            expected = "the number (from 0), the letter or the text of one choice"
            faults.append((self.fields[2], repr(answer)[:60], expected))
        return [Problem(file, row.place, *fault) for fault in faults]


def _index(answer: Any, choices: Sequence[str]) -> int | None:
    """Which choice is right, from 0; None if it is ambiguous.

    Example:
        >>> [_index(answer, ["x", "B", "z"]) for answer in (2, "A", "z", "B", 3, True)]
        [2, 0, 2, 1, None, None]
    """
    if isinstance(answer, bool):
        return None
    if isinstance(answer, int):
        return answer if 0 <= answer < len(choices) else None
    if not isinstance(answer, str):
        return None
    letters = LETTERS[: len(choices)]
    found = {i for i, each in enumerate(choices) if each == answer}
    if len(answer) == 1 and answer in letters:
        found.add(letters.index(answer))
    if answer.isdecimal() and not found and int(answer) < len(choices):
        found.add(int(answer))
    return found.pop() if len(found) == 1 else None


def _listed(question: Question) -> str:
    listed = zip(LETTERS, question.choices, strict=False)
    return "\n".join([question.text, *(f"{letter}. {choice}" for letter, choice in listed)])
