"""Tasks of lm-evaluation-harness: hazardous knowledge and general ability."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities.seed import isolate_rng

from unlearnkit.data.rows.reader import find_file
from unlearnkit.engine.generation.generate import device_of
from unlearnkit.errors import RecipeError
from unlearnkit.metrics import Accuracy, Perplexity
from unlearnkit.models.modes import evaluating
from unlearnkit.registry import did_you_mean
from unlearnkit.suites.base import Probe, Rows, Suite, SuiteContext, SuiteResult
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.measured import by_stream

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase


class LmEval(Suite, name="lm_eval"):
    """Any tasks of lm-evaluation-harness (extra ``harness``), on the model as it is in memory.

    Metrics are the harness's own, as ``<task>/<metric>``, such as ``hellaswag/acc_norm``; of a
    metric behind a filter, ``<task>/<metric>_<filter>``. Groups of tasks have metrics too. The
    harness downloads its tasks' data; nothing else does here.

    Args:
        tasks: Names of tasks or groups.
        limit: Rows of each task at most, the first ones; None for all.
        num_fewshot: Examples in front; by default as many as each task says.
        task_folder: Folder with own task files in the harness's YAML.
        chat: Put prompts through the chat template.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.
        system: System turn in front of each question; with ``chat``.

    References:
        Gao et al. 2024, "A framework for few-shot language model evaluation",
        doi 10.5281/zenodo.12608602.
    """

    probes = {"wmdp*": Probe("forget"), "*": Probe("utility")}
    metrics = {"*perplexity": Perplexity, "*": Accuracy}

    def __init__(
        self,
        tasks: list[str],
        limit: int | None = None,
        num_fewshot: int | None = None,
        task_folder: str | None = None,
        chat: bool = False,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        system: str | None = None,
    ) -> None:
        if not tasks:
            raise RecipeError(f"{self.registered_name}: tasks: expected at least one, found none")
        for field, value, least in (("limit", limit, 1), ("num_fewshot", num_fewshot, 0)):
            if value is not None and value < least:
                raise RecipeError(
                    f"{self.registered_name}: {field} must be at least {least} or null, "
                    f"found {value}"
                )
        self.tasks, self.limit, self.num_fewshot = list(tasks), limit, num_fewshot
        self.task_folder = task_folder
        self.chat = Chat.chosen(chat, chat_template, template_arguments, system)

    def check(self, tokenizer: PreTrainedTokenizerBase, context: SuiteContext) -> None:
        """Checks that the harness is installed and knows the tasks; nothing is downloaded."""
        if self.chat is not None:
            self.chat.turns(context.codec(tokenizer))
        known = self._manager()
        wrong = [task for task in self.tasks if not known.match_tasks([task])]
        if wrong:
            raise RecipeError(
                f"{self.registered_name}: there is no task '{wrong[0]}'."
                f"{did_you_mean(wrong[0], known.all_tasks)}",
                hint="lm-eval ls tasks lists those of the harness.",
            )

    def run(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, context: SuiteContext
    ) -> SuiteResult:
        """Runs the harness; random generators are left as they were.

        Raises:
            RecipeError: If the data of a task can be neither downloaded nor found.
        """
        manager = self._manager()
        lm_eval, models = map(import_module, ("lm_eval", "lm_eval.models.huggingface"))
        with evaluating(model), isolate_rng():
            wrapped = models.HFLM(
                pretrained=model,
                tokenizer=self._asking(tokenizer),
                batch_size=context.batch_size,
                device=str(device_of(model)),
            )
            seeds = ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed")
            try:
                found = lm_eval.simple_evaluate(
                    wrapped,
                    tasks=self.tasks,
                    num_fewshot=self.num_fewshot,
                    limit=self.limit,
                    bootstrap_iters=0,
                    apply_chat_template=bool(self.chat) and (self.chat.template or True),
                    system_instruction=self.chat.system if self.chat else None,
                    task_manager=manager,
                    **dict.fromkeys(seeds, context.seed),
                )
            except OSError as error:
                raise RecipeError(
                    f"{self.registered_name}: the data of a task is not available ({error})",
                    hint="The hub must be reachable, or hold the data in its cache.",
                ) from error
        values = _values(found["results"])
        rows = [
            row
            for task, samples in found.get("samples", {}).items()
            for row in _rows(task, samples, values)
        ]
        return SuiteResult(values, rows)

    def aggregate(self, rows: Rows) -> dict[str, float | None]:
        """Metrics that are means over rows; of groups there are none."""
        return {
            f"{task}/{name}": fmean(row["figures"][name] for row in part)
            for task, part in by_stream(rows).items()
            for name in part[0]["figures"]
        }

    def _asking(self, tokenizer: PreTrainedTokenizerBase) -> Any:
        """A tokenizer for the harness, which gives it a pad token and calls its chat template."""
        own: Any = copy.deepcopy(tokenizer)
        if self.chat is not None:
            own.apply_chat_template = partial(own.apply_chat_template, **self.chat.arguments)
        return own

    def _manager(self) -> Any:
        if find_spec("lm_eval") is None:
            raise RecipeError(
                f"{self.registered_name}: the package lm-eval is not installed",
                hint="pip install 'unlearnkit[harness]'",
            )
        folder = None if self.task_folder is None else find_file(self.task_folder)
        if self.task_folder is not None and (folder is None or not folder.is_dir()):
            raise RecipeError(
                f"{self.registered_name}: task_folder: there is no folder {self.task_folder}"
            )
        return _task_manager(None if folder is None else str(folder.resolve()))


class Wmdp(LmEval, name="wmdp"):
    """WMDP: hazardous knowledge in biology, chemistry and cyber security, beside MMLU.

    Metrics are accuracies among four choices, ``wmdp_bio/acc`` and so on, where 0.25 is guessing;
    ``mmlu/acc`` is what is to stay. See `LmEval`, whose tasks these are.

    Args:
        tasks: Names of tasks or groups.
        **options: The other arguments of `LmEval`.

    References:
        Li et al. 2024, "The WMDP benchmark", arXiv 2403.03218; Hendrycks et al. 2021, "Measuring
        massive multitask language understanding", arXiv 2009.03300.
    """

    def __init__(self, tasks: list[str] | None = None, **options: Any) -> None:
        default = ["wmdp_bio", "wmdp_chem", "wmdp_cyber", "mmlu"]
        super().__init__(default if tasks is None else tasks, **options)


@cache
def _task_manager(folder: str | None) -> Any:
    """The harness's tasks and own ones; it reads thousands of files, which takes seconds."""
    tasks = import_module("lm_eval.tasks")
    # It logs its own settings as warnings.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return tasks.TaskManager(include_path=folder)


def _values(results: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {
        f"{task}/{_name(key)}": float(value)
        for task, figures in results.items()
        for key, value in figures.items()
        if "," in key and "_stderr" not in key and isinstance(value, int | float)
    }


def _name(key: str) -> str:
    """``acc,none`` is ``acc``."""
    metric, _, way = key.partition(",")
    return metric if way == "none" else f"{metric}_{way}"


def _rows(
    task: str, samples: Sequence[Mapping[str, Any]], values: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One row per sample, with the metrics whose mean is the task's value."""
    several = len({sample["filter"] for sample in samples}) > 1
    kept: list[dict[str, Any]] = []
    figures: dict[int, dict[str, float]] = {}
    for sample in samples:
        for metric in sample["metrics"]:
            value = sample.get(metric)
            if isinstance(value, bool | int | float):
                name = _name(f"{metric},{sample['filter']}")
                figures.setdefault(sample["doc_id"], {})[name] = float(value)
    names = next(iter(figures.values()), {})
    means = {
        name: fmean(each[name] for each in figures.values())
        for name in names
        if all(name in each for each in figures.values())
    }
    true = [
        n for n, mean in means.items() if abs(mean - values.get(f"{task}/{n}", mean + 1)) < 1e-9
    ]
    seen: set[int] = set()
    for sample in samples:
        row = sample["doc_id"]
        if row in seen or row not in figures:
            continue
        seen.add(row)
        kept.append(
            {
                "stream": task,
                "row": row,
                "source": f"{task}:{row}",
                "reference": str(sample["target"]),
                **({} if several else {"generated": str(sample["filtered_resps"])}),
                "figures": {name: figures[row][name] for name in true},
            }
        )
    return kept
