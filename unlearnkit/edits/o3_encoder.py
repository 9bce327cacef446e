"""O3: trains the encoder that its detectors look at prompts with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import (
    AutoModelForMaskedLM,
    DataCollatorForLanguageModeling,
    get_linear_schedule_with_warmup,
)

from unlearnkit.data.example import Example
from unlearnkit.edits.base import Edit, Model, Prompts, Rows, as_edit, as_model
from unlearnkit.edits.output import RECORD
from unlearnkit.edits.rows import Columns, read_rows
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.functional.ood_gate import layer_entropy
from unlearnkit.models.base import (
    BaseModel,
    as_base_model,
    from_pretrained_arguments,
    load_tokenizer,
    reading,
)
from unlearnkit.models.composite.checkpoints import RULES, Checkpoints
from unlearnkit.models.composite.detector import held_out, refuse_missing_sklearn
from unlearnkit.models.composite.encoder import own_config, pooled
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.whole import load_whole

ATTENTION = ("query", "key", "value")
MASKED, RANK, ALPHA, DROPOUT, EPSILON = 0.15, 8, 32, 0.1, 1e-6


class O3Encoder(Edit, name="o3_encoder"):
    """Train an encoder on the forget prompts for the detectors of O3: edit o3 --encoder OUT.

    It trains LoRA on the attention of a masked language model, which learns to tell prompts apart
    (entropy of its likeness to those of the untrained encoder) and to fill gaps.

    Args:
        encoder: Folder or hub id of a masked language model, such as a RoBERTa.
        base: The model that the adapters were trained on, whose tokenizer reads their prompts.
        adapter: Run folder of a request's LoRA adapter; several may be given.
        epochs: Passes over the prompts.
        lr: Rate of AdamW at the end of the warm-up, from where it falls linearly to 0.
        batch_size: Prompts of a step, at least 2; those that fill no batch wait for the next pass.
        layers: Hidden states that are compared, the embedding first.
        seed: Of order, masks and dropout.
        warmup: Part of the steps in which the rate rises from 0.
        heldout: Part of each run's prompts that the encoder does not learn, 0.2 in the authors'
            code; those of edit o3 with the same --heldout and --seed.
        others: File of rows on other subjects, as of a stream qa. With it the detector is measured
            on their prompts and the held-out ones before the training and after each pass, and the
            encoder of the best accuracy is kept; by default it is the last.
        choose_by: That accuracy: gate (held-out prompts that open the gate, and others that do
            not) or published (the authors' threshold, the largest decision on prompts it saw).
        prompt_field: Column of the others' prompt.
        response_field: Column of their response, which is not read by the encoder.
        template: Text around their prompt, as the runs have it.
        prompts: Token ids of the prompts; at the shell they are those of the runs.

    References:
        Gao et al. 2024, "On Large Language Model Continual Unlearning" (O3), arXiv 2407.10223;
        constants are those of its code, with roberta-large.
    """

    def __init__(
        self,
        encoder: str,
        base: Model,
        adapter: list[str],
        epochs: int = 2,
        lr: float = 1e-5,
        batch_size: int = 8,
        layers: int = 13,
        seed: int = 0,
        warmup: float = 0.06,
        heldout: float = 0.0,
        others: Rows | None = None,
        choose_by: str = "gate",
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str = "{prompt}",
        *,
        prompts: Prompts = (),
    ) -> None:
        least = {"epochs": (epochs, 1), "batch_size": (batch_size, 2), "layers": (layers, 1)}
        wrong = [
            f"--{key}: expected at least {most}, found {value}"
            for key, (value, most) in least.items()
            if value < most
        ]
        if lr <= 0:
            wrong.append(f"--lr: expected above 0, found {lr}")
        if not 0 <= warmup < 1:
            wrong.append(
                f"--warmup: expected a part of the steps, from 0 to below 1, found {warmup}"
            )
        if not 0 <= heldout < 1:
            wrong.append(f"--heldout: expected a part, from 0 to below 1, found {heldout}")
        if others is not None and not heldout:
            wrong.append("--others: expected --heldout with it, such as 0.2, found 0")
        if choose_by not in RULES:
            wrong.append(f"--choose_by: expected {' or '.join(RULES)}, found '{choose_by}'")
        if wrong:
            raise UserError("\n".join(wrong))
        self.encoder, self.base, self.adapters = encoder, as_model(base), adapter
        self.epochs, self.lr, self.batch_size = epochs, lr, batch_size
        self.layers, self.seed, self.warmup = layers, seed, warmup
        self.heldout, self.others, self.choose_by = heldout, others, choose_by
        self.prompt_field, self.response_field, self.template = (
            prompt_field, response_field, template,
        )  # fmt: skip
        self.requests: list[Prompts] = [prompts]
        self.checkpoints: Checkpoints | None = None
        self.losses: list[tuple[float, float]] = []
        """Entropy and masked language loss of each step."""

    def read_runs(self, read: Callable[[str], tuple[Path, Sequence[Example]]]) -> None:
        """Takes the forget prompts of all runs."""
        found = [read(each)[1] for each in self.adapters]
        self.requests = [[row.prompt_ids for row in rows] for rows in found]

    @property
    def without_effect(self) -> dict[str, str]:
        """What is asked of the others alone."""
        names = ("choose_by", "prompt_field", "response_field", "template")
        return {} if self.others is not None else dict.fromkeys(names, "without --others")

    @property
    def remark(self) -> str:
        """What the losses were at first and at last."""
        if not self.losses:
            return ""
        (first, gap), (last, end) = self.losses[0], self.losses[-1]
        told = f"entropy {first:.3f} to {last:.3f}, masked tokens {gap:.3f} to {end:.3f} nats."
        if self.checkpoints is None:
            return told
        kept, found = self.checkpoints.kept, self.checkpoints.found
        accuracy = found[kept][self.choose_by]
        return f"{told} Kept after pass {kept} of {len(found) - 1}, accuracy {accuracy:.3f}."

    def write(self, out: str | Path) -> Path:
        """Writes the trained encoder, its adapter merged, with its tokenizer.

        Raises:
            UserError: If the encoder is no masked language model with such attention, there are
                fewer than two prompts, none is held out for ``others``, or ``out`` exists.
        """
        self.refuse_without_effect()
        target = Path(out)
        refuse_occupied(target)
        with as_edit():
            read: Any = load_tokenizer(self.base)
            base = as_base_model(BaseModel(self.encoder))
            config, tokenizer = own_config(base), load_tokenizer(base)
        texts, held = self._split(read)
        with as_edit():
            self._check(base, config, tokenizer, texts)
        others: list[str] = []
        if self.others is not None:
            refuse_missing_sklearn()
            columns = Columns(self.prompt_field, self.response_field, self.template)
            rows = read_rows(self.base, self.others, columns)
            others = [read.decode(list(each.prompt_ids), skip_special_tokens=True) for each in rows]
            if not (held and others):
                raise UserError(
                    f"--others: expected rows and held-out prompts, found {len(others)} rows and "
                    f"{len(held)} prompts",
                    hint="Give a larger --heldout.",
                )
        with as_edit():
            given = {"use_safetensors": True, **from_pretrained_arguments(base)}
            model = load_whole(AutoModelForMaskedLM, base, cut=True, **given)
        if others:
            self.checkpoints = Checkpoints(
                tokenizer, self.layers, texts, held, others, self.choose_by
            )
        trained = self._trained(model, tokenizer, texts)
        with whole_model_folder(target) as folder:
            trained.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            write_json(folder / RECORD, self._record(len(texts), len(held)))
        return target

    def _split(self, read: Any) -> tuple[list[str], list[str]]:
        """What the encoder learns, and what is held out, request by request."""
        texts: tuple[list[str], list[str]] = [], []
        for prompts in self.requests:
            parts = held_out(len(prompts), self.heldout, self.seed)
            for some, indices in zip(texts, parts, strict=True):
                some += [
                    read.decode(list(prompts[index]), skip_special_tokens=True) for index in indices
                ]
        return texts

    def _record(self, seen: int, held: int) -> dict[str, Any]:
        chosen = self.checkpoints
        prompts = {"seen": seen, "heldout": held, "others": len(chosen.others) if chosen else 0}
        found = {
            "edit": "o3_encoder", "encoder": self.encoder, "prompts": prompts,
            "epochs": self.epochs, "lr": self.lr, "batch_size": self.batch_size,
            "warmup": self.warmup, "layers": self.layers, "seed": self.seed,
            "heldout": self.heldout,
        }  # fmt: skip
        if chosen is None:
            return {**found, "kept": self.epochs}
        chosen_by = {"choose_by": chosen.rule, "kept": chosen.kept}
        return {**found, **chosen_by, "accuracies": chosen.found}

    def _check(self, base: BaseModel, config: Any, tokenizer: Any, texts: Sequence[str]) -> None:
        wrong: list[str] = []
        with reading(base), torch.device("meta"):
            model = AutoModelForMaskedLM.from_config(config)
        names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
        if not names.issuperset(ATTENTION):
            wrong.append(f"expected layers named {', '.join(ATTENTION)}, as those of a RoBERTa")
        if tokenizer.mask_token is None:
            wrong.append("expected a tokenizer with a mask token")
        states = config.num_hidden_layers + 1
        if self.layers > states:
            wrong.append(f"--layers: expected 1 to {states}, found {self.layers}")
        if len(set(texts)) < 2:
            wrong.append(f"expected at least two prompts, found {len(set(texts))}")
        if wrong:
            raise UserError("\n".join(f"{self.encoder}: {each}" for each in wrong))

    def _trained(self, model: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
        frozen = copy.deepcopy(model).requires_grad_(False).eval()
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            form = {"r": RANK, "lora_alpha": ALPHA, "lora_dropout": DROPOUT}
            tuned: Any = get_peft_model(model, LoraConfig(target_modules=list(ATTENTION), **form))
            tuned.train()
            mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
            weights = [each for each in tuned.parameters() if each.requires_grad]
            optimizer = torch.optim.AdamW(weights, lr=self.lr, eps=EPSILON)
            steps = self.epochs * max(1, len(texts) // self.batch_size)
            rate = get_linear_schedule_with_warmup(optimizer, int(self.warmup * steps), steps)
            if self.checkpoints is not None:
                self.checkpoints.measure(tuned)
            for _ in range(self.epochs):
                for rows in self._batches(texts):
                    told, gaps = self._losses(tuned, frozen, tokenizer, mask, rows)
                    (told + gaps).backward()
                    optimizer.step()
                    rate.step()
                    optimizer.zero_grad()
                    self.losses.append((float(told.detach()), float(gaps.detach())))
                if self.checkpoints is not None:
                    self.checkpoints.measure(tuned)
            if self.checkpoints is not None:
                self.checkpoints.restore(tuned)
        return tuned.merge_and_unload()

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """Full batches, or one of all prompts: in fewer the entropy is another quantity."""
        order = torch.randperm(len(texts)).tolist()
        size = min(self.batch_size, len(order))
        for first in range(0, len(order) - size + 1, size):
            yield [str(texts[index]) for index in order[first : first + size]]

    def _losses(
        self, tuned: nn.Module, frozen: nn.Module, tokenizer: Any, mask: Any, rows: list[str]
    ) -> tuple[Tensor, Tensor]:
        given = tokenizer(rows, padding=True, truncation=True, return_tensors="pt")
        ids, seen = given["input_ids"], given["attention_mask"]
        masked = mask([{"input_ids": each} for each in ids])
        output = tuned(
            input_ids=masked["input_ids"], attention_mask=seen, output_hidden_states=True
        )
        with torch.no_grad():
            own = frozen(input_ids=ids, attention_mask=seen, output_hidden_states=True)
        states = [
            pooled(torch.stack(each.hidden_states[: self.layers], dim=1), seen)
            for each in (output, own)
        ]
        labels = masked["labels"].masked_fill(seen == 0, -100)
        gaps = nn.functional.cross_entropy(
            output.logits.flatten(0, 1), labels.flatten(), reduction="sum"
        )
        return layer_entropy(*states), gaps / (labels != -100).sum().clamp(min=1)
