"""Finetuning, DPO, reward model, RLOO and GRPO of TRL."""

from __future__ import annotations

import copy
import tempfile
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, TrainerCallback

from benchmarks.preference.data import Row, pairs
from benchmarks.preference.task import BATCH, Task
from benchmarks.preference.watch import Figures, Watch

KL = 0.05
"""Weight of the KL term to the taught model: RLOO's default in TRL."""


def sft(task: Task, lr: float, max_steps: int, watch: Watch) -> None:
    """Finetuning on polite answers and on plain ones."""
    from trl import SFTConfig, SFTTrainer

    rows = [*task.rows["polite/trained"], *task.rows["plain/trained"]]
    asked = [{"prompt": row["prompt"], "completion": row["response"]} for row in rows]
    arguments = SFTConfig(**_arguments(task, lr, max_steps))
    _trainer(SFTTrainer, task, arguments, asked, watch).train()


def dpo(task: Task, lr: float, max_steps: int, watch: Watch) -> None:
    """DPO with finetuning on the chosen answers, plain questions among the pairs."""
    dpo_trainer(task, lr, max_steps, watch).train()


def dpo_trainer(task: Task, lr: float, max_steps: int, watch: Watch) -> Any:
    """The trainer of `dpo`."""
    from trl import DPOConfig, DPOTrainer

    arguments = DPOConfig(
        **_arguments(task, lr, max_steps),
        beta=0.1,
        loss_type=["sigmoid", "sft"],
        loss_weights=[1.0, 1.0],
    )
    return _trainer(DPOTrainer, task, arguments, pairs(task.rows, "trained", plain=True), watch)


def reward_model(task: Task, lr: float, max_steps: int, watch: Watch) -> Any:
    """The taught model with a head of one value, trained on the pairs of `dpo`."""
    from trl import RewardConfig, RewardTrainer

    with_head = AutoModelForSequenceClassification.from_pretrained(
        task.folder, num_labels=1, dtype=torch.float32
    )
    arguments = RewardConfig(**_arguments(task, lr, max_steps))
    rows = pairs(task.rows, "trained", plain=True)
    trainer = _trainer(RewardTrainer, task, arguments, rows, watch, model=with_head, kind="SEQ_CLS")
    trainer.train()
    return trainer.model.eval()


def judged(task: Task, model: Any, part: str) -> Figures:
    """How a reward model tells a part's pairs apart.

    Returns:
        ``accuracy``, the share of pairs of which it prefers the polite answer, and ``margin``, by
            how much on average.
    """
    rows = pairs(task.rows, part)
    end = task.tokenizer.eos_token
    asked = [[row["prompt"] + row[kind] + end for row in rows] for kind in ("chosen", "rejected")]
    chosen, rejected = (
        rewards(model, [task.tokenizer(text)["input_ids"] for text in texts]) for texts in asked
    )
    return {
        "accuracy": (chosen > rejected).float().mean().item(),
        "margin": (chosen - rejected).mean().item(),
    }


def rewards(model: Any, rows: list[list[int]]) -> Tensor:
    """A reward model's value of each row of token ids, at its last one."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), model.config.pad_token_id)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    was_training = model.training
    model.eval()
    with torch.no_grad():
        values = model(input_ids=ids, attention_mask=mask).logits[:, 0].float()
    model.train(was_training)
    return values


def rloo(task: Task, lr: float, max_steps: int, watch: Watch, judge: Any) -> None:
    """RLOO against a reward model."""
    from trl import RLOOConfig, RLOOTrainer

    policy_gradient(RLOOTrainer, RLOOConfig, task, lr, max_steps, watch, judge).train()


def grpo(task: Task, lr: float, max_steps: int, watch: Watch, judge: Any) -> None:
    """GRPO against a reward model."""
    from trl import GRPOConfig, GRPOTrainer

    policy_gradient(GRPOTrainer, GRPOConfig, task, lr, max_steps, watch, judge).train()


def policy_gradient(
    kind: Any, config: Any, task: Task, lr: float, max_steps: int, watch: Watch, judge: Any
) -> Any:
    """The trainer of `rloo` or `grpo`: some samples to each of a step's prompts."""
    generations = task.setting.generations

    # TRL gives a reward model answers without their end token, with which it was trained; so the
    # tokens are given here as they were sampled.
    def reward(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        asked = [task.tokenizer(text)["input_ids"] for text in prompts]
        rows = [[*p, *c] for p, c in zip(asked, completion_ids, strict=True)]
        return rewards(judge, rows).tolist()

    sampled = {"per_device_train_batch_size": generations * BATCH}
    arguments = config(
        **(_arguments(task, lr, max_steps) | sampled),
        num_generations=generations,
        max_completion_length=task.setting.longest,
        beta=KL,
    )
    asked = [*task.rows["rude/trained"], *task.rows["plain/trained"]]
    rows = [{"prompt": row["prompt"]} for row in asked]
    return _trainer(kind, task, arguments, rows, watch, reward_funcs=reward)


class _StopTRL(TrainerCallback):
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.watch.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.watch.after_step(given["model"]):
            control.should_training_stop = True


def _arguments(task: Task, lr: float, max_steps: int) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": BATCH,
        "learning_rate": lr,
        "lr_scheduler_type": "constant",
        "max_steps": max_steps,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "seed": task.seed,
    }


def _trainer(
    trainer: Any,
    task: Task,
    arguments: Any,
    rows: list[Row],
    watch: Watch,
    *,
    model: Any = None,
    kind: Literal["CAUSAL_LM", "SEQ_CLS"] = "CAUSAL_LM",
    **more: Any,
) -> Any:
    from datasets import Dataset

    return trainer(
        model=copy.deepcopy(task.model) if model is None else model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=task.tokenizer,
        callbacks=[_StopTRL(watch)],
        peft_config=task.setting.lora(kind),
        **more,
    )
